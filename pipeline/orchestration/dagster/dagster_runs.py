"""Map runs of Dagster to runs of the pipeline, and look up their states.

A run of the pipeline keeps its name when Dagster restarts it; each restart is a new run of Dagster.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from pipeline.orchestration.project import Project, open_project
from pipeline.orchestration.runs.outcome import HISTORY, OUTCOME, Trigger
from pipeline.orchestration.runs.run import Run, begin_run, find_run

MODEL_TAG = "growgan/model"  # Tag of a Dagster run with the name of the model.
RECORDING_SECONDS = 120.0
"""Seconds that the sensor `endings` has to write the outcome of a run that failed."""
LIVING = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
"""Statuses of a Dagster run that has a process."""
_TRIGGERS: dict[str, Trigger] = {
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "new data",
    "dagster/backfill": "back-fill",
}


def run_for(project: Path, dagster_run: Any) -> Run:
    """Return the run of the pipeline for a run of Dagster; begin it unless this is a restart."""
    name = name_of_run(dagster_run)
    return find_run(project, name) or begin_run(
        open_project(project),
        name,
        snapshot=dagster_run.tags["dagster/partition"],
        trigger=trigger_of(dagster_run.tags),
    )


def name_of_run(dagster_run: Any) -> str:
    """Return the name of a pipeline run, the same for all its restarts by Dagster."""
    # Each restart is a new run of Dagster, whose root is the first one.
    return str(dagster_run.root_run_id or dagster_run.run_id)[:8]


def trigger_of(tags: Mapping[str, str]) -> Trigger:
    """Return what triggered a run, given the tags from Dagster."""
    return next((trigger for tag, trigger in _TRIGGERS.items() if tag in tags), "manual")


def has_outcome(project: Project, dagster_run: DagsterRun) -> bool:
    """Return whether the outcome of the pipeline run behind a run of Dagster is written."""
    return any((project.path / HISTORY).glob(f"*-{name_of_run(dagster_run)}/{OUTCOME}"))


def will_be_restarted(dagster_run: DagsterRun) -> bool:
    """Return whether Dagster will restart a failed run."""
    # Check the tag and the origin: Dagster restarts only runs that its daemon has started.
    by_daemon = dagster_run.remote_job_origin is not None
    return by_daemon and dagster_run.tags.get("dagster/will_retry") == "true"


def is_canceled(instance: DagsterInstance, dagster_run: DagsterRun) -> bool:
    """Return whether a user has asked Dagster to stop a run."""
    # Read the run again: the given object has the status at the run's start.
    now = instance.get_run_by_id(dagster_run.run_id)
    stopping = (DagsterRunStatus.CANCELING, DagsterRunStatus.CANCELED)
    return now is not None and now.status in stopping
