"""Triggers that make Dagster start runs: a schedule (`cron`) and a sensor for new pictures."""

# No `from __future__ import annotations`: Dagster needs the annotations of sensors as objects.
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
from pipeline.orchestration.snapshots import fingerprint, is_kept, list_files, take
from pipeline.shape import Shape, shape_text
from savedmodels.repository.errors import RepositoryError

Answer = TypeVar("Answer")
NOT_ENDED = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, *LIVING]
"""Statuses of a Dagster run that is waiting or in progress."""


def schedule_of(project: Project, job: Any) -> ScheduleDefinition | None:
    """Return the schedule that starts runs at the times of `cron`, None without `cron`."""
    given, stages = project.config.schedule, project.stages()
    if given.cron is None:
        return None

    def by_clock(context: ScheduleEvaluationContext) -> Any:
        def look() -> Any:
            now = reopen_project(project, stages)
            if reason := busy_reason(now, context.instance):
                return SkipReason(reason)
            return request_for(Plan(now, take(now)), context.instance)

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
            "`schedule.cron` must be such as `0 2 * * *`, and `schedule.timezone` a time zone "
            f"such as Europe/Berlin. Received: {given.cron} and {given.timezone}"
        ) from error


def sensor_of(project: Project, job: Any) -> SensorDefinition | None:
    """Return the sensor that starts runs for new pictures, None without `new_data`."""
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
        # State between calls: fingerprint of the sources (`found`), time since which it is
        # unchanged (`since`), and key of the snapshot taken of it (`snapshot`).
        known = json.loads(context.cursor) if context.cursor else {}

        def skip(reason: str) -> SensorResult:
            return SensorResult(skip_reason=reason, cursor=json.dumps(known))

        def look() -> SensorResult:
            now = reopen_project(project, stages)
            rules = now.config.schedule.new_data or given
            files = list_files(now)
            # Wait until nothing changes, because pictures may still be being copied.
            found = fingerprint(now, files)
            # Restart the wait if `since` is in the future: the computer's clock was set back.
            if known.get("found") != found or known["since"] > time.time():
                known.clear()
                known.update(found=found, since=time.time())
            quiet = time.time() - known["since"]
            if quiet < rules.quiet_seconds:
                return skip(f"the sources changed {quiet:.0f} s ago, not {rules.quiet_seconds:g} s")
            if reason := busy_reason(now, context.instance):
                return skip(reason)
            # Check what is cheap first: a snapshot copies pictures.
            former = former_pictures(now)
            if "snapshot" not in known or not is_kept(now, known["snapshot"]):
                if few := former.too_few_found(now, files, rules.least):
                    return skip(few)
                known["snapshot"] = take(now).key
            plan = plan_of(now, known["snapshot"])
            if few := former.too_few(plan.snapshot, rules.least):
                return skip(few)
            ended = plan.read_end_if_same_settings()
            if ended is not None:
                # Leave failures that may pass to `cron`: this sensor would retry at every check.
                return skip(f"nothing new: run {ended.run} ended with {ended.verdict}")
            request = request_for(plan, context.instance)
            if isinstance(request, SkipReason):
                return skip(str(request.skip_message))
            return SensorResult(run_requests=[request], cursor=json.dumps(known))

        return look_at_sources(project, "by_new_data", look, skip)

    return by_new_data


def reopen_project(project: Project, loaded: tuple[Shape, ...]) -> Project:
    """Read a project's configuration again, because a user may have changed it.

    Raises:
        UserError: if it is invalid, or its stages are not those of the assets that Dagster loaded.
    """
    now = open_project(project.path)
    stages = now.stages()
    if stages != loaded:
        raise UserError(
            f"the stages of the schedule must be those that `growgan pipeline up` has started "
            f"with, {_list_stages(loaded)}: start it again. Received: {_list_stages(stages)}"
        )
    return now


def look_at_sources(
    project: Project, trigger: str, look: Callable[[], Answer], skip: Callable[[str], Answer]
) -> Answer:
    """Call `look`; if it fails, skip, and write the reason for `growgan pipeline status`."""
    try:
        answer = look()
    except (UserError, RepositoryError, OSError) as error:
        reason = failure_of(error).reason
        write_trigger_error(project, trigger, reason)
        return skip(reason)
    write_trigger_error(project, trigger, None)
    return answer


def busy_reason(project: Project, instance: DagsterInstance) -> str | None:
    """Return why a run must not be requested now, None if it may be."""
    if project.config.schedule.when_busy == "wait":
        return None
    busy = instance.get_runs_count(RunsFilter(statuses=NOT_ENDED)) > 0
    return f"another run of {project.config.model} is under way" if busy else None


def request_for(plan: Plan, instance: DagsterInstance) -> RunRequest | SkipReason:
    """Request a run of a plan, unless it is done, in progress or waiting in the queue."""
    ended = plan.read_end_if_same_settings()
    if ended is not None and ended.final:
        return SkipReason(f"nothing new: run {ended.run} ended with {ended.verdict}")
    key = plan.snapshot.key
    for run in _runs_under_way(plan, instance):
        return SkipReason(f"run {run} of the same pictures is under way")
    instance.add_dynamic_partitions(PARTITIONS, [key])  # Dagster refuses unknown partitions.
    return RunRequest(partition_key=key, tags={MODEL_TAG: plan.project.config.model})


def _runs_under_way(plan: Plan, instance: DagsterInstance) -> Iterator[str]:
    """Yield the names of Dagster runs of a plan's snapshot whose end is not recorded yet."""
    tags = {"dagster/partition": plan.snapshot.key}
    for record in instance.get_run_records(RunsFilter(tags=tags)):
        run = record.dagster_run
        failed = run.status is DagsterRunStatus.FAILURE and run.remote_job_origin is not None
        # Count a failed run until Dagster has started its retry, which then counts instead.
        retried = failed and will_be_restarted(run) and "dagster/auto_retry_run_id" not in run.tags
        # Count it also while the sensor `endings` may be about to record the end.
        unrecorded = (
            failed
            and time.time() - (record.end_time or 0.0) < RECORDING_SECONDS
            and not has_outcome(plan.project, run)
        )
        if run.status in NOT_ENDED or retried or unrecorded:
            yield run.run_id[:8]


def _list_stages(stages: Sequence[Shape]) -> str:
    return ", ".join(map(shape_text, stages))
