"""Open Dagster's records of a project's runs, and let it restart runs once more."""

from __future__ import annotations

import os
from contextlib import suppress

from dagster import DagsterInstance, DagsterRun
from dagster._core.errors import DagsterRunNotFoundError

from pipeline.orchestration.project import Project

FOLDER = "GROWGAN_PIPELINE"
"""Environment variable with the folder of the project, for Dagster's processes."""


def environment_of(project: Project) -> dict[str, str]:
    """Return the environment that Dagster's processes need."""
    return {
        "DAGSTER_HOME": str(project.dagster_home),
        FOLDER: str(project.path),
        # A trigger reads and copies new pictures, which may take longer than Dagster's minute.
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "86400",
        "DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS": "86400",
    }


def instance_of(project: Project) -> DagsterInstance:
    """Open the instance that keeps the project's runs.

    The environment of this process changes to the project's.
    """
    project.dagster_home.mkdir(exist_ok=True)
    os.environ.update(environment_of(project))
    return DagsterInstance.from_config(str(project.dagster_home))


def allow_another_restart(instance: DagsterInstance, run: DagsterRun) -> None:
    """Let Dagster start a run again once it has failed, however often it has done so before."""
    # `run_retries` bounds the starts of a run whose process was killed. A restart of the machine
    # kills every process, and is no fault of the run.
    most = instance.run_retries_max_retries
    if most == 0:  # A user wants none.
        return
    with suppress(DagsterRunNotFoundError):  # The first of them was removed by hand.
        group = instance.get_run_group(run.run_id)
        starts = 1 if group is None else len(list(group[1]))
        instance.add_run_tags(run.run_id, {"dagster/max_retries": str(starts + most)})
