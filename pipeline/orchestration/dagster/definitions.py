"""Dagster definitions of a project: assets, a job that makes them all, and triggers."""

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
    """Return everything that Dagster loads for a project.

    Raises:
        UserError: if `schedule.cron` or `schedule.timezone` is invalid.
    """
    job = define_asset_job(
        JOB,
        selection=AssetSelection.all(),
        description=f"From new pictures to a promoted version of {project.config.model}.",
        tags={MODEL_TAG: project.config.model},
        # Run all steps in one process, which holds the run's lock; steps start subprocesses.
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
