"""The steps as Dagster's assets: their order, their retries, and how a run ends with them."""

# No `from __future__ import annotations`: Dagster reads the annotations of assets as objects.
import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    Backoff,
    DynamicPartitionsDefinition,
    Failure,
    InitResourceContext,
    MaterializeResult,
    ResourceDefinition,
    RetryPolicy,
    asset,
    resource,
)

from pipeline.exit_status import of_signal
from pipeline.orchestration import steps
from pipeline.orchestration.commands import Log
from pipeline.orchestration.dagster.dagster_runs import is_canceled, name_of_run, run_for
from pipeline.orchestration.dagster.instance import allow_another_restart
from pipeline.orchestration.dagster.metadata import metadata_of
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.failure import RunFailure, failure_of
from pipeline.orchestration.runs.run import Run, find_run
from pipeline.orchestration.runs.run_state import AFTER
from pipeline.orchestration.steps.judging import scores_of_version
from pipeline.shape import Shape, shape_name
from savedmodels.locks import hold

PARTITIONS = "snapshots"
PROGRESS = "growgan.pipeline"
"""Name of the logger of steps."""
GROUP = "pipeline"

Work = Callable[[Run, Log], steps.Done]


def partitions() -> DynamicPartitionsDefinition:
    """Return the partitions of all assets: one for each snapshot."""
    return DynamicPartitionsDefinition(name=PARTITIONS)


def assets_of(project: Project) -> list[AssetsDefinition]:
    """Return a project's assets; its stages follow from its configuration."""
    made: list[AssetsDefinition] = []

    def add(name: str, work: Work, check: str | None = None, *, also: Sequence[str] = ()) -> None:
        deps = [*([made[-1].key.to_user_string()] if made else []), *also]
        made.append(_asset_of(project, name, work, deps, check))

    add("source_snapshot", lambda run, log: steps.source_snapshot(run.plan, log))
    add(
        "checked_data",
        lambda run, log: steps.checked_data(run.plan, log, run.against),
        "data_shift",
    )
    add("records", lambda run, log: steps.records(run.plan, log))
    for shape in project.stages():
        add(f"stage_{shape_name(shape)}", _stage(shape))
    add("trained_model", lambda run, log: steps.trained_model(run.plan, log), "alarms")
    add(
        "evaluation",
        lambda run, log: steps.evaluation(run.plan, log, run.former),
        "score_regression",
        also=("records",),
    )
    add(
        "gate",
        lambda run, log: steps.gate(run.plan, log, scores_of_version(run.plan, run.former)),
    )
    add(
        "savedmodel",
        lambda run, log: steps.savedmodel(run.plan, log),
        also=("trained_model",),
    )
    add(
        "published_version",
        lambda run, log: steps.published_version(run.plan, log, run.former),
    )
    add("smoke_test", lambda run, log: steps.smoke_test(run.plan, log))
    return made


def alone_in(project: Project) -> ResourceDefinition:
    """Return a resource that lets one run of a project go at a time, whoever started it."""

    @resource
    def alone(context: InitResourceContext) -> Any:
        def log_wait() -> None:
            line = "waiting for another run of this project to end"
            logging.getLogger(PROGRESS).info(line)  # For a terminal; the next for Dagster's page.
            if context.log is not None:
                context.log.info(line)

        with hold(project.run_lock, on_wait=log_wait):
            if context.run is not None:
                with suppress(OSError):  # On a full disk `status` lacks the run, and no more.
                    project.run_lock.write_text(name_of_run(context.run))
            yield

    return alone


def _stage(shape: Shape) -> Work:
    return lambda run, log: steps.stage(run.plan, shape, log, run.former)


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
        def log(line: str) -> None:
            logging.getLogger(PROGRESS).info("%s: %s", name, line)
            context.log.info(line)

        try:
            run = run_for(project.path, context.run)
            done = run.perform(name, lambda: work(run, log))
            if name == AFTER[-1]:
                run.end()
        except Exception as error:  # A full disk may keep even the failure from being recorded.
            failure = failure_of(error)
            if not failure.may_pass or context.retry_number >= retries.most:
                _end(project, context)
            raise Failure(failure.reason, allow_retries=failure.may_pass) from error
        except BaseException as stop:
            by_daemon = context.instance.get_run_by_id(context.run.run_id)
            if (
                by_daemon is not None
                and by_daemon.remote_job_origin is not None
                and not is_canceled(context.instance, context.run)
            ):
                # Every process gets a signal, as before a restart of the machine, and the run has
                # to go on after it: Dagster takes this exit as a kill, and starts the run again.
                allow_another_restart(context.instance, by_daemon)
                os._exit(of_signal(signal.SIGTERM))
            _end(project, context)
            # Otherwise Dagster would try the stopped step again.
            raise Failure("stopped", allow_retries=False) from stop
        facts = ", ".join(f"{fact} {value}" for fact, value in done.facts.items())
        log(f"{'done' if done.new else 'found done'}: {facts}")
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


def _end(project: Project, context: AssetExecutionContext) -> None:
    """End the run of a step that failed for good.

    No hook of a job does this, as Dagster makes the jobs of runs from asset pages itself.
    """
    try:
        if run := find_run(project.path, name_of_run(context.run)):
            run.end(_failure_if_canceled(run, context))
    except Exception as error:  # As on a full disk: the sensor `endings` may succeed later.
        context.log.error(f"the end could not be written down: {error}")


def _failure_if_canceled(run: Run, context: AssetExecutionContext) -> RunFailure | None:
    """Return the failure of a run that a user stopped in Dagster, which nothing starts again."""
    failure = run.failure
    if failure is None or failure.ending != "interrupted":
        return None
    if not is_canceled(context.instance, context.run):
        return None
    return failure.model_copy(update={"may_pass": False})


def _title_of(name: str) -> str:
    work = getattr(steps, "stage" if name.startswith("stage_") else name)
    return str(work.__doc__).splitlines()[0]
