"""Runs of Dagster, and the runs of the pipeline that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from pipeline.orchestration.project import Project, open_project
from pipeline.orchestration.runs.outcome import HISTORY, OUTCOME, Trigger
from pipeline.orchestration.runs.run import Run, begin_run, find_run

MODEL_TAG = "growgan/model"
RECORDING_SECONDS = 120.0
"""Seconds after the end of a run for which the sensor `endings` may still write its outcome."""
LIVING = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
"""States of a run that has a process."""
_TRIGGERS: dict[str, Trigger] = {
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "new data",
    "dagster/backfill": "back-fill",
}


def run_for(project: Path, dagster_run: Any) -> Run:
    """Begin the run of the pipeline for a run of Dagster; a repeated one goes on with the first."""
    name = name_of_run(dagster_run)
    return find_run(project, name) or begin_run(
        open_project(project),  # As it is now, which holds for the whole run.
        name,
        snapshot=dagster_run.tags["dagster/partition"],
        trigger=trigger_of(dagster_run.tags),
    )


def name_of_run(dagster_run: Any) -> str:
    """Return the name that a run keeps when Dagster repeats it."""
    # A repeat is a new run of Dagster with the first one as its root.
    return str(dagster_run.root_run_id or dagster_run.run_id)[:8]


def trigger_of(tags: Mapping[str, str]) -> Trigger:
    """Return the trigger of a run by the tags that Dagster gave it."""
    return next((trigger for tag, trigger in _TRIGGERS.items() if tag in tags), "manual")


def has_outcome(project: Project, dagster_run: DagsterRun) -> bool:
    """Return whether the outcome of a run, or of its last repeat, is written."""
    return any((project.path / HISTORY).glob(f"*-{name_of_run(dagster_run)}/{OUTCOME}"))


def will_be_restarted(dagster_run: DagsterRun) -> bool:
    """Return whether Dagster starts a failed run again."""
    # The tag alone does not mean it: Dagster repeats only what the daemon has started.
    by_daemon = dagster_run.remote_job_origin is not None
    return by_daemon and dagster_run.tags.get("dagster/will_retry") == "true"


def is_canceled(instance: DagsterInstance, dagster_run: DagsterRun) -> bool:
    """Return whether a user has asked Dagster to stop a run."""
    # The object given is as the run was when it started.
    now = instance.get_run_by_id(dagster_run.run_id)
    stopping = (DagsterRunStatus.CANCELING, DagsterRunStatus.CANCELED)
    return now is not None and now.status in stopping
