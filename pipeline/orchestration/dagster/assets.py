"""Dagster assets that run the steps of the pipeline: their order, retries and failures."""

# No `from __future__ import annotations`: Dagster needs the annotations of assets as objects.
import logging
import os
import signal
from collections.abc import Callable, Sequence

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    Backoff,
    DynamicPartitionsDefinition,
    Failure,
    MaterializeResult,
    RetryPolicy,
    asset,
)

from pipeline.exit_status import of_signal
from pipeline.orchestration import steps
from pipeline.orchestration.commands import Log
from pipeline.orchestration.dagster.dagster_runs import is_canceled, name_of_run, run_for
from pipeline.orchestration.dagster.instance import allow_another_restart
from pipeline.orchestration.dagster.metadata import metadata_of
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.ending import end_run
from pipeline.orchestration.runs.failure import failure_of
from pipeline.orchestration.runs.run import find_run
from pipeline.shape import Shape, shape_name

PARTITIONS = "snapshots"
"""Name of Dagster's partitions: each asset has one result for each snapshot."""
PROGRESS = "growgan.pipeline"
"""Name of the logger for the progress of steps; `growgan pipeline run` prints its lines."""

Work = Callable[[Plan, Log, int | None], steps.Done]


def assets_of(project: Project) -> list[AssetsDefinition]:
    """Return a project's assets in order; each depends on the one before."""
    assets: list[AssetsDefinition] = []

    def add(name: str, work: Work, check: str | None = None, *, also: Sequence[str] = ()) -> None:
        deps = [*([assets[-1].key.to_user_string()] if assets else []), *also]
        assets.append(_asset_of(project, name, work, deps, check))

    def train(shape: Shape) -> Work:
        return lambda plan, log, former: steps.stage(plan, shape, log, former)

    add("source_snapshot", lambda plan, log, _: steps.source_snapshot(plan, log))
    add(
        "checked_data",
        lambda plan, log, former: steps.checked_data(plan, log, former),
        "data_shift",
    )
    add("records", lambda plan, log, _: steps.records(plan, log))
    for shape in project.stages():
        add(f"stage_{shape_name(shape)}", train(shape))
    add("trained_model", lambda plan, log, _: steps.trained_model(plan, log), "alarms")
    add(
        "evaluation",
        lambda plan, log, former: steps.evaluation(plan, log, former),
        "score_regression",
        also=("records",),
    )
    add("gate", lambda plan, log, former: steps.gate(plan, log, former))
    add("savedmodel", lambda plan, log, _: steps.savedmodel(plan, log), also=("trained_model",))
    add(
        "published_version",
        lambda plan, log, former: steps.published_version(plan, log, former),
    )
    add("smoke_test", lambda plan, log, _: steps.smoke_test(plan, log))
    return assets


def _asset_of(
    project: Project, name: str, work: Work, deps: Sequence[str], check: str | None
) -> AssetsDefinition:
    retries = project.config.retries
    step = getattr(steps, "stage" if name.startswith("stage_") else name)

    @asset(
        name=name,
        deps=list(deps),
        group_name="pipeline",
        partitions_def=DynamicPartitionsDefinition(name=PARTITIONS),
        required_resource_keys={"alone"},
        check_specs=[AssetCheckSpec(check, asset=name)] if check else None,
        retry_policy=RetryPolicy(
            max_retries=retries.most, delay=retries.first_seconds, backoff=Backoff.EXPONENTIAL
        ),
        description=str(step.__doc__).splitlines()[0],
    )
    # With a check, Dagster accepts only the class without type arguments as an annotation.
    def run_step(context: AssetExecutionContext) -> MaterializeResult:  # type: ignore[type-arg]
        def log(line: str) -> None:
            logging.getLogger(PROGRESS).info("%s: %s", name, line)
            context.log.info(line)

        try:
            run = run_for(project.path, context.run)
            done = run.perform(name, lambda: work(run.plan, log, run.state.former))
            if name == "smoke_test":
                end_run(run)
        except Exception as error:  # From `work`, or because a full disk prevents the record.
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
                # Exit like a killed process, so that Dagster restarts the run: no user canceled it,
                # so the signal went to all processes, for example at a shutdown of the machine.
                allow_another_restart(context.instance, by_daemon)
                os._exit(of_signal(signal.SIGTERM))
            _end(project, context)
            # Forbid retries, or Dagster would retry the stopped step.
            raise Failure("stopped", allow_retries=False) from stop
        facts = ", ".join(f"{fact} {value}" for fact, value in done.facts.items())
        log(f"{'done' if done.new else 'found done'}: {facts}")
        found = done.checks.get(check) if check else None
        results = []
        if check and found:
            results.append(
                AssetCheckResult(
                    check_name=check,
                    passed=found.passed,
                    severity=AssetCheckSeverity.WARN,
                    description=found.reason,
                )
            )
        return MaterializeResult(metadata=metadata_of(done), check_results=results)

    return run_step


def _end(project: Project, context: AssetExecutionContext) -> None:
    """End the run of a step that failed without a retry, or was stopped."""
    # A hook of the job would miss runs from asset pages, whose jobs Dagster makes itself.
    try:
        if run := find_run(project.path, name_of_run(context.run)):
            failure = run.state.failure
            stopped = failure is not None and failure.ending == "interrupted"
            if failure and stopped and is_canceled(context.instance, context.run):
                # A user canceled the run, so no trigger may start it again.
                failure = failure.model_copy(update={"may_pass": False})
            end_run(run, failure)
    except Exception as error:  # Only log it: on a full disk, the sensor `endings` tries later.
        context.log.error(f"the end could not be written down: {error}")
