"""Triggers of runs: the time of day and new pictures."""

# No `from __future__ import annotations`: Dagster reads the annotations of sensors as objects.
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from dagster import (
    DagsterInstance,
    DagsterInvalidDefinitionError,
    DagsterRunStatus,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    schedule,
    sensor,
)

from pipeline.errors import UserError
from pipeline.orchestration.dagster.assets import PARTITIONS
from pipeline.orchestration.dagster.dagster_runs import (
    LIVING,
    MODEL_TAG,
    RECORDING_SECONDS,
    has_outcome,
    will_be_restarted,
)
from pipeline.orchestration.new_pictures import former_pictures
from pipeline.orchestration.plan import Plan, plan_of
from pipeline.orchestration.project import Project, open_project
from pipeline.orchestration.runs.failure import failure_of
from pipeline.orchestration.runs.status import write_trigger_error
from pipeline.orchestration.snapshots import fingerprint, is_kept, list_files, take_snapshot
from pipeline.shape import Shape, shape_text
from savedmodels.repository.errors import RepositoryError

Answer = TypeVar("Answer")
UNDER_WAY = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, *LIVING]


def schedule_of(project: Project, job: Any) -> ScheduleDefinition | None:
    """Return the schedule that starts runs at the times of `cron`, None if there are no times."""
    given, stages = project.config.schedule, project.stages()
    if given.cron is None:
        return None

    def by_clock(context: ScheduleEvaluationContext) -> Any:
        def look() -> Any:
            now = opened_anew(project, stages)
            if reason := busy(now, context.instance):
                return SkipReason(reason)
            return request_for(Plan(now, take_snapshot(now)), context.instance)

        return look_at_sources(project, "by_clock", look, SkipReason)

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
    """Return the sensor that starts a run for new pictures, None if these start none."""
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
            files = list_files(now)
            # Pictures that are still being copied must not be taken.
            found = fingerprint(now, files)
            # `since` lies ahead where the clock was set back: start to wait anew.
            if known.get("found") != found or known["since"] > time.time():
                known.clear()
                known.update(found=found, since=time.time())
            quiet = time.time() - known["since"]
            if quiet < rules.quiet_seconds:
                return skip(f"the sources changed {quiet:.0f} s ago, not {rules.quiet_seconds:g} s")
            if reason := busy(now, context.instance):
                return skip(reason)
            # From cheap to dear: a snapshot copies pictures.
            former = former_pictures(now)
            if "snapshot" not in known or not is_kept(now, known["snapshot"]):
                if few := former.too_few_found(now, files, rules.least):
                    return skip(few)
                known["snapshot"] = take_snapshot(now).key
            plan = plan_of(now, known["snapshot"])
            if few := former.too_few(plan.snapshot, rules.least):
                return skip(few)
            ended = plan.read_end_if_same_settings()
            if ended is not None:
                # A failure that may pass is left to the clock: here it would repeat at every look.
                return skip(f"nothing new: run {ended.run} ended with {ended.verdict}")
            request = request_for(plan, context.instance)
            if isinstance(request, SkipReason):
                return skip(str(request.skip_message))
            return SensorResult(run_requests=[request], cursor=json.dumps(known))

        return look_at_sources(project, "by_new_data", look, skip)

    return by_new_data


def opened_anew(project: Project, loaded: tuple[Shape, ...]) -> Project:
    """Open a project again, as its configuration may have changed.

    Raises:
        UserError: if its stages are not those that Dagster has loaded, or anything is wrong.
    """
    now = open_project(project.path)
    stages = now.stages()
    if stages != loaded:
        raise UserError(
            f"the stages of the schedule must be those that `growgan pipeline up` has started "
            f"with, {_listed(loaded)}: start it again. Received: {_listed(stages)}"
        )
    return now


def look_at_sources(
    project: Project, trigger: str, look: Callable[[], Answer], skip: Callable[[str], Answer]
) -> Answer:
    """Look at the sources; if that fails, skip, and keep the reason for `pipeline status`."""
    try:
        answer = look()
    except (UserError, RepositoryError, OSError) as error:
        reason = failure_of(error).reason
        write_trigger_error(project, trigger, reason)
        return skip(reason)
    write_trigger_error(project, trigger, None)
    return answer


def busy(project: Project, instance: DagsterInstance) -> str | None:
    """Return why no run may be requested now, None if one may."""
    if project.config.schedule.when_busy == "wait":
        return None
    count = instance.get_runs_count(RunsFilter(statuses=UNDER_WAY))
    return f"{count} other run of {project.config.model} is under way" if count else None


def request_for(plan: Plan, instance: DagsterInstance) -> RunRequest | SkipReason:
    """Request a run of a plan, unless it is done, or was requested already."""
    ended = plan.read_end_if_same_settings()
    if ended is not None and ended.final:
        return SkipReason(f"nothing new: run {ended.run} ended with {ended.verdict}")
    key = plan.snapshot.key
    for run in _requested(plan, instance):
        return SkipReason(f"run {run} of the same pictures is under way")
    instance.add_dynamic_partitions(PARTITIONS, [key])  # Dagster refuses a run of an unknown one.
    return RunRequest(partition_key=key, tags={MODEL_TAG: plan.project.config.model})


def _requested(plan: Plan, instance: DagsterInstance) -> Iterator[str]:
    tags = {"dagster/partition": plan.snapshot.key}
    for record in instance.get_run_records(RunsFilter(tags=tags)):
        run = record.dagster_run
        failed = run.status is DagsterRunStatus.FAILURE and run.remote_job_origin is not None
        # Once Dagster has started the repeat, that one counts.
        retried = failed and will_be_restarted(run) and "dagster/auto_retry_run_id" not in run.tags
        # The sensor `endings` is about to record the end.
        unrecorded = (
            failed
            and time.time() - (record.end_time or 0.0) < RECORDING_SECONDS
            and not has_outcome(plan.project, run)
        )
        if run.status in UNDER_WAY or retried or unrecorded:
            yield run.run_id[:8]


def _listed(stages: Sequence[Shape]) -> str:
    return ", ".join(map(shape_text, stages))
