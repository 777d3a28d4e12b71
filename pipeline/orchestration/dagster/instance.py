"""Open the Dagster instance of a project, which keeps its runs, and raise its restart limit."""

from __future__ import annotations

import os
from contextlib import suppress

from dagster import DagsterInstance, DagsterRun
from dagster._core.errors import DagsterRunNotFoundError

from pipeline.orchestration.project import Project

FOLDER = "GROWGAN_PIPELINE"
"""Environment variable by which Dagster's processes find the project's folder."""


def environment_of(project: Project) -> dict[str, str]:
    """Return the environment variables that Dagster's processes need."""
    return {
        "DAGSTER_HOME": str(project.dagster_home),
        FOLDER: str(project.path),
        # Allow a day: a trigger copies new pictures, which may take longer than Dagster's minute.
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "86400",
        "DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS": "86400",
    }


def instance_of(project: Project) -> DagsterInstance:
    """Open the Dagster instance of a project, and set the environment of this process for it."""
    project.dagster_home.mkdir(exist_ok=True)
    os.environ.update(environment_of(project))
    return DagsterInstance.from_config(str(project.dagster_home))


def allow_another_restart(instance: DagsterInstance, run: DagsterRun) -> None:
    """Raise a run's limit of restarts, so that its starts until now do not count."""
    # `run_retries` limits how often Dagster restarts a run whose process was killed. A restart of
    # the machine kills all processes, and is not the fault of the run.
    limit = instance.run_retries_max_retries
    if limit == 0:  # A user has switched restarts off.
        return
    with suppress(DagsterRunNotFoundError):  # A user has removed the first run of the group.
        group = instance.get_run_group(run.run_id)
        starts = 1 if group is None else len(list(group[1]))
        instance.add_run_tags(run.run_id, {"dagster/max_retries": str(starts + limit)})
