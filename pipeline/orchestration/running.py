"""One run of the pipeline in this process, by the same assets and records as the daemon's."""

from __future__ import annotations

from dagster import RunsFilter

from pipeline.orchestration.assets import (
    MODEL_TAG,
    PARTITIONS,
    course_of_run,
)
from pipeline.orchestration.course import Course
from pipeline.orchestration.definitions import JOB, definitions_of
from pipeline.orchestration.failure import StepFailed, failure_of
from pipeline.orchestration.instance import instance_of
from pipeline.orchestration.lost import PROCESS_TAG, give_up_foreground_runs, this_process
from pipeline.orchestration.plan import Ended, Plan
from pipeline.orchestration.project import Project
from pipeline.orchestration.snapshots import take

SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run_once(project: Project) -> Course | Ended | StepFailed:
    """Take what lies in the sources, and run the pipeline over it to the end.

    Returns:
        The course of the run; or how an earlier one ended that has promoted the same already, and
        then nothing was done; or why the pictures could not be read or kept, so that none began.

    Raises:
        UserError: if the sources hold no pictures.
    """
    try:
        plan = Plan(project, take(project))
    except OSError as error:
        return failure_of(error)
    ended = plan.ended()
    if ended is not None and ended.verdict == "promoted":
        return ended
    with instance_of(project) as instance:
        give_up_foreground_runs(project, instance)
        instance.add_dynamic_partitions(PARTITIONS, [plan.snapshot.key])
        job = definitions_of(project).resolve_job_def(JOB)
        result = job.execute_in_process(
            instance=instance,
            partition_key=plan.snapshot.key,
            tags={MODEL_TAG: project.config.model, PROCESS_TAG: this_process()},
            run_config=SILENT,
            raise_on_error=False,
        )
        [run] = instance.get_runs(RunsFilter(run_ids=[result.run_id]))
        return course_of_run(project.path, run)
