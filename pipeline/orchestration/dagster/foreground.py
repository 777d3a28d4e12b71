"""Run the pipeline once in this process, for `growgan pipeline run`.

It uses the same assets, records and locks as the runs that Dagster's daemon starts.
"""

from __future__ import annotations

from dagster import RunsFilter

from pipeline.orchestration.dagster.assets import PARTITIONS
from pipeline.orchestration.dagster.dagster_runs import MODEL_TAG, run_for
from pipeline.orchestration.dagster.definitions import JOB, definitions_of
from pipeline.orchestration.dagster.instance import instance_of
from pipeline.orchestration.dagster.recovery import (
    PROCESS_TAG,
    fail_killed_foreground_runs,
    this_process,
)
from pipeline.orchestration.plan import Ended, Plan
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.failure import RunFailure, failure_of
from pipeline.orchestration.runs.run import Run
from pipeline.orchestration.snapshots import take

SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration that hides Dagster's own log lines; steps log theirs with another logger."""


def run_once(project: Project) -> Run | Ended | RunFailure:
    """Take a snapshot of the sources, and run the pipeline on it to the end.

    Returns:
        The run; or the end of an earlier run that promoted the same result already; or a failure if
        the pictures could not be read or copied.

    Raises:
        UserError: if the sources hold no pictures.
    """
    try:
        plan = Plan(project, take(project))
    except OSError as error:
        return failure_of(error)
    ended = plan.read_end()
    if ended is not None and ended.verdict == "promoted":
        return ended
    with instance_of(project) as instance:
        # Fail killed runs first: they would count as in progress.
        fail_killed_foreground_runs(project, instance)
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
        return run_for(project.path, run)
