"""The steps as Dagster's assets: what depends on what, what its pages show, what is tried again."""

# Dagster looks at annotations as they are: they must not be put off.
import base64
import logging
import math
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    Backoff,
    DagsterRun,
    DagsterRunStatus,
    DynamicPartitionsDefinition,
    Failure,
    InitResourceContext,
    MaterializeResult,
    MetadataValue,
    ResourceDefinition,
    RetryPolicy,
    asset,
    resource,
)

from pipeline.evaluation.scores import Evaluation
from pipeline.exit_status import of_signal
from pipeline.orchestration import steps
from pipeline.orchestration.begun import AFTER
from pipeline.orchestration.commands import Say
from pipeline.orchestration.course import Course, begun_course, course_of
from pipeline.orchestration.failure import StepFailed, failure_of
from pipeline.orchestration.instance import start_again
from pipeline.orchestration.outcome import Trigger
from pipeline.orchestration.project import Project, open_project
from pipeline.orchestration.steps import Done
from pipeline.orchestration.steps.judging import scores_of_version
from pipeline.shape import Shape, shape_name
from savedmodels.locks import hold

PARTITIONS = "snapshots"
PROGRESS = "growgan.pipeline"
"""Logger of the lines that steps say."""
GROUP = "pipeline"
MODEL_TAG = "growgan/model"
LARGEST_PICTURE = 2**20
"""Bytes; larger ones are told by their path, as Dagster keeps what it shows in its database."""

Work = Callable[[Course, Say], Done]


def partitions() -> DynamicPartitionsDefinition:
    """One partition for each snapshot."""
    return DynamicPartitionsDefinition(name=PARTITIONS)


def assets_of(project: Project) -> list[AssetsDefinition]:
    """A project's assets; its stages follow from its configuration."""
    made: list[AssetsDefinition] = []

    def add(name: str, work: Work, check: str | None = None, *, also: Sequence[str] = ()) -> None:
        deps = [*([made[-1].key.to_user_string()] if made else []), *also]
        made.append(_asset_of(project, name, work, deps, check))

    add("source_snapshot", lambda course, say: steps.source_snapshot(course.plan, say))
    add(
        "checked_data",
        lambda course, say: steps.checked_data(course.plan, say, course.against),
        "data_shift",
    )
    add("records", lambda course, say: steps.records(course.plan, say))
    for shape in project.stages():
        add(f"stage_{shape_name(shape)}", _stage(shape))
    add("trained_model", lambda course, say: steps.trained_model(course.plan, say), "alarms")
    add(
        "evaluation",
        lambda course, say: steps.evaluation(course.plan, say, course.former),
        "score_regression",
        also=("records",),
    )
    add("gate", lambda course, say: steps.gate(course.plan, say, _promoted(course)))
    add(
        "savedmodel",
        lambda course, say: steps.savedmodel(course.plan, say),
        also=("trained_model",),
    )
    add(
        "published_version",
        lambda course, say: steps.published_version(course.plan, say, course.former),
    )
    add("smoke_test", lambda course, say: steps.smoke_test(course.plan, say))
    return made


def alone_in(project: Project) -> ResourceDefinition:
    """Keeps a second run of a project waiting, whoever started it."""

    @resource
    def alone(context: InitResourceContext) -> Any:
        def tell() -> None:
            line = "waiting for another run of this project to end"
            logging.getLogger(PROGRESS).info(line)  # For a terminal; the next for Dagster's page.
            if context.log is not None:
                context.log.info(line)

        with hold(project.run_lock, on_wait=tell):
            if context.run is not None:
                with suppress(OSError):  # On a full disk `status` lacks it, and that is all.
                    project.run_lock.write_text(name_of_run(context.run))
            yield

    return alone


def course_of_run(project: Path, run: Any) -> Course:
    """The course of one of Dagster's runs; one that is repeated goes on with the first one's.

    Args:
        project: Folder of the project. Its configuration is read when the course begins.
        run: Run of Dagster.
    """
    name = name_of_run(run)
    return begun_course(project, name) or course_of(
        open_project(project),
        name,
        snapshot=run.tags["dagster/partition"],
        trigger=trigger_of(run.tags),
    )


def name_of_run(run: Any) -> str:
    """Return the name that one of Dagster's runs keeps when it is repeated."""
    return str(run.root_run_id or run.run_id)[:8]


def trigger_of(tags: Mapping[str, str]) -> Trigger:
    """Return the trigger of a run."""
    for tag, trigger in _TRIGGERS.items():
        if tag in tags:
            return trigger
    return "manual"


_TRIGGERS: dict[str, Trigger] = {
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "new data",
    "dagster/backfill": "back-fill",
}


def _stopped_by_hand(course: Course, context: AssetExecutionContext) -> StepFailed | None:
    """Return the failure of a run that somebody ended in Dagster: nothing restarts it by itself."""
    failure, run = course.failed(), context.instance.get_run_by_id(context.run.run_id)
    if failure is None or failure.ending != "interrupted" or run is None or not _is_to_stop(run):
        return None
    return StepFailed(failure.reason, ending=failure.ending, status=failure.status)


def _is_to_stop(run: DagsterRun) -> bool:
    """Return whether somebody has asked Dagster to end a run."""
    return run.status in (DagsterRunStatus.CANCELING, DagsterRunStatus.CANCELED)


def _stage(shape: Shape) -> Work:
    return lambda course, say: steps.stage(course.plan, shape, say, course.former)


def _promoted(course: Course) -> Evaluation | None:
    return scores_of_version(course.plan, course.former)


def _asset_of(
    project: Project, name: str, work: Work, deps: Sequence[str], check: str | None
) -> AssetsDefinition:
    retries = project.config.retries

    @asset(
        name=name,
        deps=list(deps),
        group_name=GROUP,
        partitions_def=partitions(),
        required_resource_keys={"alone"},
        check_specs=[AssetCheckSpec(check, asset=name)] if check else None,
        retry_policy=RetryPolicy(
            max_retries=retries.most, delay=retries.first_seconds, backoff=Backoff.EXPONENTIAL
        ),
        description=_title_of(name),
    )
    def made(context: AssetExecutionContext) -> MaterializeResult:  # type: ignore[type-arg]
        def say(line: str) -> None:
            logging.getLogger(PROGRESS).info("%s: %s", name, line)
            context.log.info(line)

        def end() -> None:
            # By no hook of a job: asset pages start runs of a job that Dagster makes itself.
            try:
                if course := begun_course(project.path, name_of_run(context.run)):
                    course.end(_stopped_by_hand(course, context))
            except Exception as error:  # As of a full disk: `endings` may do it later.
                context.log.error(f"the end could not be written down: {error}")

        try:
            course = course_of_run(project.path, context.run)
            done = course.perform(name, lambda: work(course, say))
            if name == AFTER[-1]:
                course.end()
        except Exception as error:  # A full disk may keep even that from being written down.
            failure = failure_of(error)
            if not failure.may_pass or context.retry_number >= retries.most:
                end()
            raise Failure(failure.reason, allow_retries=failure.may_pass) from error
        except BaseException as stop:
            run = context.instance.get_run_by_id(context.run.run_id)
            if run is not None and run.remote_job_origin is not None and not _is_to_stop(run):
                # All processes are told to stop, as before a restart of the machine. The run is to
                # go on after it: to Dagster this is a kill, after which it starts runs again.
                start_again(context.instance, run)
                os._exit(of_signal(signal.SIGTERM))
            end()
            # Dagster would try a step again that was told to stop.
            raise Failure("stopped", allow_retries=False) from stop
        told = ", ".join(f"{fact} {value}" for fact, value in done.facts.items())
        say(f"{'done' if done.new else 'found done'}: {told}")
        found = done.checks.get(check) if check else None
        return MaterializeResult(
            metadata=metadata_of(done),
            check_results=[
                AssetCheckResult(
                    check_name=check,
                    passed=found.passed,
                    severity=AssetCheckSeverity.WARN,
                    description=found.reason,
                )
            ]
            if check and found
            else [],
        )

    return made


def metadata_of(done: Done) -> dict[str, Any]:
    """Return the metadata of a step for Dagster's pages."""
    shown: dict[str, Any] = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in done.facts.items()
    }
    shown["found done"] = not done.new
    for name, path in done.files.items():
        shown[name] = MetadataValue.path(str(path))
    for picture in done.pictures:
        if picture.exists():
            shown[picture.stem] = (
                MetadataValue.md(_embedded(picture.read_bytes()))
                if picture.stat().st_size <= LARGEST_PICTURE
                else MetadataValue.path(str(picture))
            )
    return shown


def _embedded(png: bytes) -> str:
    return f"![](data:image/png;base64,{base64.b64encode(png).decode()})"


def _title_of(name: str) -> str:
    work = getattr(steps, "stage" if name.startswith("stage_") else name)
    return str(work.__doc__).splitlines()[0]
