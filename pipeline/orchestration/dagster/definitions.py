"""Dagster's definitions of a project: assets, one job over all of them, and its triggers."""

from __future__ import annotations

from dagster import AssetSelection, Definitions, define_asset_job, in_process_executor

from pipeline.orchestration.dagster.assets import assets_of
from pipeline.orchestration.dagster.dagster_runs import MODEL_TAG
from pipeline.orchestration.dagster.one_run import alone_in
from pipeline.orchestration.dagster.recovery import endings_of
from pipeline.orchestration.dagster.triggers import schedule_of, sensor_of
from pipeline.orchestration.project import Project

JOB = "promote_a_version"


def definitions_of(project: Project) -> Definitions:
    """Return everything that Dagster loads of a project.

    Raises:
        UserError: if the times of the schedule are wrong.
    """
    job = define_asset_job(
        JOB,
        selection=AssetSelection.all(),
        description=f"From new pictures to a promoted version of {project.config.model}.",
        tags={MODEL_TAG: project.config.model},
        # One process has to hold the lock for a whole run; heavy work has processes of its own.
        executor_def=in_process_executor,
    )
    schedule, sensor = schedule_of(project, job), sensor_of(project, job)
    return Definitions(
        assets=assets_of(project),
        jobs=[job],
        schedules=[schedule] if schedule else [],
        sensors=[endings_of(project), *([sensor] if sensor else [])],
        resources={"alone": alone_in(project)},
        executor=in_process_executor,
    )
