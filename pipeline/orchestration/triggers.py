"""Triggers of runs: the time of day, new pictures, and the repeat of killed runs."""

# Dagster looks at annotations as they are: they must not be put off.
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from dagster import (
    DagsterInstance,
    DagsterInvalidDefinitionError,
    DagsterRun,
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
from pipeline.exit_status import AGAIN
from pipeline.orchestration.assets import MODEL_TAG, course_of_run, name_of_run, partitions
from pipeline.orchestration.complaints import write_complaint
from pipeline.orchestration.failure import StepFailed, failure_of
from pipeline.orchestration.lost import REASON
from pipeline.orchestration.outcome import HISTORY, OUTCOME
from pipeline.orchestration.plan import Plan, plan_of
from pipeline.orchestration.project import Project, open_project
from pipeline.orchestration.snapshots import fingerprint, found_in, is_kept, take
from pipeline.orchestration.waiting import former_pictures
from pipeline.shape import Shape, shape_text
from savedmodels.repository.errors import RepositoryError

Answer = TypeVar("Answer")
TO_TELL = 120.0
"""Seconds that a run may have ended before it is written down how."""
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
    given, stages = project.config.schedule, project.stages()
    if given.cron is None:
        return None

    def by_clock(context: ScheduleEvaluationContext) -> Any:
        def look() -> Any:
            now = opened_anew(project, stages)
            if reason := busy(now, context.instance):
                return SkipReason(reason)
            return request_for(Plan(now, take(now)), context.instance)

        return looked(project, "by_clock", look, SkipReason)

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
    given, stages = project.config.schedule.new_data, project.stages()
    if given is None:
        return None

    @sensor(
        name="by_new_data",
        job=job,
        minimum_interval_seconds=given.every_seconds,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def by_new_data(context: SensorEvaluationContext) -> SensorResult:
        known = json.loads(context.cursor) if context.cursor else {}

        def skip(reason: str) -> SensorResult:
            return SensorResult(skip_reason=reason, cursor=json.dumps(known))

        def look() -> SensorResult:
            now = opened_anew(project, stages)
            rules = now.config.schedule.new_data or given
            files = found_in(now)
            found = fingerprint(now, files)
            # A clock that was set back would keep them changing until it has caught up.
            if known.get("found") != found or known["since"] > time.time():
                known.clear()
                known.update(found=found, since=time.time())
            quiet = time.time() - known["since"]
            if quiet < rules.quiet_seconds:
                return skip(f"the sources changed {quiet:.0f} s ago, not {rules.quiet_seconds:g} s")
            if reason := busy(now, context.instance):
                return skip(reason)
            former = former_pictures(now)
            if "snapshot" not in known or not is_kept(now, known["snapshot"]):
                if few := former.too_few_found(now, files, rules.least):
                    return skip(few)
                known["snapshot"] = take(now).key
            plan = plan_of(now, known["snapshot"])
            if few := former.too_few(plan.snapshot, rules.least):
                return skip(few)
            ended = plan.ended_so()
            if ended is not None:
                # What may pass is left to the clock: here it would come again with every look.
                return skip(f"nothing new: run {ended.run} ended with {ended.verdict}")
            asked = request_for(plan, context.instance)
            if isinstance(asked, SkipReason):
                return skip(str(asked.skip_message))
            return SensorResult(run_requests=[asked], cursor=json.dumps(known))

        return looked(project, "by_new_data", look, skip)

    return by_new_data


def opened_anew(project: Project, loaded: tuple[Shape, ...]) -> Project:
    """The project as its file is now.

    Args:
        project: Project as it was.
        loaded: The stages that Dagster knows.

    Raises:
        UserError: if the project has others now, or anything in its file is wrong.
    """
    now = open_project(project.path)
    stages = now.stages()
    if stages != loaded:
        raise UserError(
            f"the stages of the schedule must be those that `growgan pipeline up` has started "
            f"with, {_listed(loaded)}: start it again. Received: {_listed(stages)}"
        )
    return now


def looked(
    project: Project, trigger: str, look: Callable[[], Answer], skip: Callable[[str], Answer]
) -> Answer:
    """Look at the sources; keep the reason for `pipeline status` if that fails."""
    try:
        answer = look()
    except (UserError, RepositoryError, OSError) as error:
        reason = failure_of(error).reason
        write_complaint(project, trigger, reason)
        return skip(reason)
    write_complaint(project, trigger, None)
    return answer


def endings_of(project: Project) -> SensorDefinition:
    """Writes down how a run of any job ended whose process could not, as it was killed."""

    @run_failure_sensor(
        name="endings",
        minimum_interval_seconds=10,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def endings(context: RunFailureSensorContext) -> Any:
        run = context.dagster_run
        if run.tags.get("dagster/will_retry") == "true" or has_outcome(project, run):
            return SkipReason("its end is recorded already, or it is tried again")
        said = context.failure_event.message or ""
        # Of a process that is gone Dagster says only that it was not itself who ended the run.
        reason = REASON if not said or "outside the execution context" in said else said
        course_of_run(project.path, run).end(StepFailed(reason, status=AGAIN, may_pass=True))
        return None

    return endings


def busy(project: Project, instance: DagsterInstance) -> str | None:
    """Why no run is to be asked for now, None if one may be."""
    if project.config.schedule.when_busy == "wait":
        return None
    count = instance.get_runs_count(RunsFilter(statuses=UNDER_WAY))
    return f"{count} other run of {project.config.model} is under way" if count else None


def request_for(plan: Plan, instance: DagsterInstance) -> RunRequest | SkipReason:
    """Ask for a run of a plan, unless it was done, or was asked for already."""
    ended = plan.ended_so()
    if ended is not None and ended.final:
        return SkipReason(f"nothing new: run {ended.run} ended with {ended.verdict}")
    key = plan.snapshot.key
    for run in _asked_for(plan, instance):
        return SkipReason(f"run {run} of the same pictures is under way")
    instance.add_dynamic_partitions(str(partitions().name), [key])
    return RunRequest(partition_key=key, tags={MODEL_TAG: plan.project.config.model})


def _asked_for(plan: Plan, instance: DagsterInstance) -> Iterator[str]:
    tags = {"dagster/partition": plan.snapshot.key}
    for record in instance.get_run_records(RunsFilter(tags=tags)):
        run = record.dagster_run
        failed = run.status is DagsterRunStatus.FAILURE and run.remote_job_origin is not None
        retried = (
            failed
            and run.tags.get("dagster/will_retry") == "true"
            and "dagster/auto_retry_run_id" not in run.tags
        )
        # The sensor of endings is about to record its end.
        unrecorded = (
            failed
            and time.time() - (record.end_time or 0.0) < TO_TELL
            and not has_outcome(plan.project, run)
        )
        if run.status in UNDER_WAY or retried or unrecorded:
            yield run.run_id[:8]


def has_outcome(project: Project, run: DagsterRun) -> bool:
    """Return whether the outcome of one of Dagster's runs, or of its last repeat, is written."""
    return any((project.path / HISTORY).glob(f"*-{name_of_run(run)}/{OUTCOME}"))


def _listed(stages: Sequence[Shape]) -> str:
    return ", ".join(map(shape_text, stages))
