"""Dagster's own records of a project's runs, and what is to be done about runs that were lost."""

from __future__ import annotations

import os

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from pipeline.orchestration.locks import is_held
from pipeline.orchestration.project import Project

FOLDER = "GROWGAN_PIPELINE"
"""Environment variable by which Dagster's processes find the project."""
LOST = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


def environment_of(project: Project) -> dict[str, str]:
    """What Dagster's processes need to know of a project."""
    return {
        "DAGSTER_HOME": str(project.dagster_home),
        FOLDER: str(project.path),
        # A trigger reads and copies what is new: that may take longer than a minute.
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "86400",
        "DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS": "86400",
    }


def instance_of(project: Project) -> DagsterInstance:
    """The instance that keeps the project's runs.

    This process takes the project's environment on.
    """
    project.dagster_home.mkdir(exist_ok=True)
    os.environ.update(environment_of(project))
    return DagsterInstance.from_config(str(project.dagster_home))


def give_up_lost_runs(project: Project, instance: DagsterInstance) -> list[str]:
    """Note that runs have failed whose processes are gone, as after a restart of the machine.

    Dagster's own daemon looks after processes that end while it lives. It then starts such runs
    again, from the step that was under way. Nothing is given up while any run holds the lock.
    """
    if is_held(project.run_lock):
        return []
    lost = instance.get_runs(RunsFilter(statuses=LOST))
    for run in lost:
        instance.report_run_failed(run, "the process of the run was ended, or the machine")
    return [run.run_id[:8] for run in lost]
