"""A project as Dagster sees it: assets, one job over all of them, and what starts it."""

from __future__ import annotations

from dagster import AssetSelection, Definitions, define_asset_job, in_process_executor

from pipeline.orchestration.assets import MODEL_TAG, alone_in, assets_of
from pipeline.orchestration.project import Project
from pipeline.orchestration.triggers import endings_of, schedule_of, sensor_of

JOB = "promote_a_version"


def definitions_of(project: Project) -> Definitions:
    """Everything that Dagster knows of a project.

    Steps share one process: what is heavy has processes of its own already, and a lock that is
    held for a whole run has to be held by one.

    Raises:
        UserError: if the times of the schedule are none.
    """
    job = define_asset_job(
        JOB,
        selection=AssetSelection.all(),
        description=f"From new pictures to a promoted version of {project.config.model}.",
        tags={MODEL_TAG: project.config.model},
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
