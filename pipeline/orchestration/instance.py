"""Dagster's own records of a project's runs."""

from __future__ import annotations

import os

from dagster import DagsterInstance

from pipeline.orchestration.project import Project

FOLDER = "GROWGAN_PIPELINE"
"""Environment variable by which Dagster's processes find the project."""


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
