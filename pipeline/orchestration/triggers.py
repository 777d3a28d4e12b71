"""What starts runs: the clock, pictures that arrived, and what is told of runs that were killed."""

# Dagster looks at annotations as they are: they must not be put off.
import json
import time
from collections.abc import Iterator
from typing import Any

from dagster import (
    DagsterInstance,
    DagsterInvalidDefinitionError,
    DagsterRunStatus,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    run_failure_sensor,
    schedule,
    sensor,
)

from pipeline.errors import UserError
from pipeline.orchestration.assets import MODEL_TAG, course_of_run, partitions
from pipeline.orchestration.course import last_snapshot
from pipeline.orchestration.failure import AGAIN, StepFailed
from pipeline.orchestration.plan import Plan, plan_of
from pipeline.orchestration.project import Project, open_project
from pipeline.orchestration.snapshots import fingerprint, found_in, take

UNDER_WAY = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def schedule_of(project: Project, job: Any) -> ScheduleDefinition | None:
    """Starts runs at the times of `cron`, if there is something to do.

    Raises:
        UserError: if there are no such times.
    """
    given = project.config.schedule
    if given.cron is None:
        return None

    def by_clock(context: ScheduleEvaluationContext) -> Any:
        now = open_project(project.path)
        if reason := busy(now, context.instance):
            return SkipReason(reason)
        return request_for(Plan(now, take(now)), context.instance)

    try:
        return schedule(
            name="by_clock",
            job=job,
            cron_schedule=given.cron,
            execution_timezone=given.timezone,
            default_status=DefaultScheduleStatus.RUNNING,
        )(by_clock)
    except DagsterInvalidDefinitionError as error:
        raise UserError(
            "`schedule.cron` and `schedule.timezone` must be such as `0 2 * * *` and "
            f"Europe/Berlin. Received: {given.cron} and {given.timezone}"
        ) from error


def sensor_of(project: Project, job: Any) -> SensorDefinition | None:
    """Starts a run when enough pictures have arrived and nothing has changed for a while."""
    given = project.config.schedule.new_data
    if given is None:
        return None

    @sensor(
        name="by_new_data",
        job=job,
        minimum_interval_seconds=given.every_seconds,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def by_new_data(context: SensorEvaluationContext) -> SensorResult:
        now = open_project(project.path)
        rules = now.config.schedule.new_data or given
        found = fingerprint(found_in(now))
        known = json.loads(context.cursor) if context.cursor else {}
        if known.get("found") != found:
            known = {"found": found, "since": time.time()}

        def skip(reason: str) -> SensorResult:
            return SensorResult(skip_reason=reason, cursor=json.dumps(known))

        quiet = time.time() - known["since"]
        if quiet < rules.quiet_seconds:
            return skip(f"the sources changed {quiet:.0f} s ago, not {rules.quiet_seconds:g} s")
        if reason := busy(now, context.instance):
            return skip(reason)
        if "snapshot" not in known:
            known["snapshot"] = take(now).key
        plan = plan_of(now, known["snapshot"])
        new = plan.snapshot.new_since(last_snapshot(now))
        if 0 < new < rules.least:
            return skip(f"{new} pictures are new, not {rules.least}")
        ended = plan.ended()
        if ended is not None:
            # What may pass is left to the clock: here it would come again with every look.
            return skip(f"nothing new: run {ended.run} ended with {ended.verdict}")
        asked = request_for(plan, context.instance)
        if isinstance(asked, SkipReason):
            return skip(str(asked.skip_message))
        return SensorResult(run_requests=[asked], cursor=json.dumps(known))

    return by_new_data


def endings_of(job: Any, project: Project) -> SensorDefinition:
    """Writes down how a run ended whose process could not, as it was killed."""

    @run_failure_sensor(
        name="endings",
        monitored_jobs=[job],
        minimum_interval_seconds=10,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def endings(context: RunFailureSensorContext) -> Any:
        run = context.dagster_run
        again = run.tags.get("dagster/will_retry") == "true"
        course = course_of_run(open_project(project.path), run)
        if again or (course.folder / "outcome.json").exists():
            return SkipReason("it is told already, or tried again")
        reason = context.failure_event.message or "the process of the run was ended"
        course.end(StepFailed(reason, status=AGAIN, may_pass=True))
        return None

    return endings


def busy(project: Project, instance: DagsterInstance) -> str | None:
    """Why no run is to be asked for now, None if one may be."""
    if project.config.schedule.when_busy == "wait":
        return None
    tags = {MODEL_TAG: project.config.model}
    count = instance.get_runs_count(RunsFilter(tags=tags, statuses=UNDER_WAY))
    return f"{count} other run of {project.config.model} is under way" if count else None


def request_for(plan: Plan, instance: DagsterInstance) -> RunRequest | SkipReason:
    """Ask for a run of a plan, unless it was done, or was asked for already."""
    ended = plan.ended()
    if ended is not None and ended.final:
        return SkipReason(f"nothing new: run {ended.run} ended with {ended.verdict}")
    key = plan.snapshot.key
    for run in _asked_for(plan, instance):
        return SkipReason(f"run {run} of the same pictures is under way")
    instance.add_dynamic_partitions(str(partitions().name), [key])
    return RunRequest(partition_key=key, tags={MODEL_TAG: plan.project.config.model})


def _asked_for(plan: Plan, instance: DagsterInstance) -> Iterator[str]:
    tags = {"dagster/partition": plan.snapshot.key}
    for run in instance.get_runs(RunsFilter(tags=tags)):
        retried = (
            run.status is DagsterRunStatus.FAILURE
            and run.remote_job_origin is not None
            and run.tags.get("dagster/will_retry") == "true"
            and "dagster/auto_retry_run_id" not in run.tags
        )
        if run.status in UNDER_WAY or retried:
            yield run.run_id[:8]
