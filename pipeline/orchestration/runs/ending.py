"""End a pipeline run: write its outcome and pages, and send notifications."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from pipeline.evaluation.scores import folder_of
from pipeline.exit_status import AGAIN
from pipeline.orchestration.plan import Ended
from pipeline.orchestration.runs.failure import RunFailure, failure_of
from pipeline.orchestration.runs.notifications import send_notifications
from pipeline.orchestration.runs.outcome import (
    Ending,
    Outcome,
    SnapshotSummary,
    StepResult,
    now,
    write_outcome,
)
from pipeline.orchestration.runs.page import write_pages
from pipeline.orchestration.runs.run import Run
from pipeline.orchestration.steps.judging import (
    scores_of,
    scores_of_version,
    sheets_of,
    verdict_of,
    why_not_judged,
)
from pipeline.orchestration.steps.step import step_names

_UNKNOWN = "a step failed, and its reason could not be recorded; logs/ or its page may have it"


def end_run(run: Run, failure: RunFailure | None = None) -> Outcome:
    """Write a run's outcome and pages, send notifications, and return the outcome.

    Args:
        run: Run that ends.
        failure: Reason of its end; None for the failure in its state or, without one, a success.
    """
    plan, project = run.plan, run.plan.project
    if failure is None and run.state.failure is None and plan.read_note("tested") is None:
        # The last step is not done: a step failed but could not record it, as on a full disk.
        failure = RunFailure(reason=_UNKNOWN, status=AGAIN, may_pass=True)
    if failure is not None:
        run.update(failure=failure)
    outcome = _summarize(run)
    write_outcome(project.path, outcome)
    # Do not let a run that had nothing to do overwrite the end of the run that promoted.
    if outcome.verdict != "unchanged" or plan.read_end() is None:
        failure = run.state.failure
        ended = Ended(
            run=outcome.run,
            verdict=outcome.verdict,
            reason=outcome.reason,
            final=failure is None or not failure.may_pass,
            settings=plan.settings,
        )
        plan.write_note("ended", **ended.model_dump())
    try:
        write_pages(project.path, outcome)
    except Exception as error:  # Only log it: the outcome matters more, and it is written.
        _log(run, "pages", [failure_of(error).reason])
    # Notify last, because servers may be slow. Failures are logged and do not repeat the ending.
    _log(run, "notifications", send_notifications(project.config.notifications, outcome))
    return outcome


def _summarize(run: Run) -> Outcome:
    """Build the outcome of a run that ends now from its state, its plan and the repository."""
    plan, project, state = run.plan, run.plan.project, run.state
    published = plan.read_note("published") or {}
    manifest = plan.run.manifest() if plan.run.exists() else {}
    # Without the note, the run failed before its model was scored.
    scores = scores_of(plan) if plan.read_note("evaluated") is not None else None
    report = folder_of(plan.run, scores) / "report.html" if scores else None
    promoted = scores_of_version(plan, state.former)
    gate = verdict_of(plan, promoted) if scores else None
    verdict, reason = _ending(run, gated=gate is not None)
    steps = {step.name: step for step in state.steps}
    return Outcome(
        run=run.folder.name,
        model=project.config.model,
        trigger=state.trigger,
        started=state.started,
        ended=now(),
        verdict=verdict,
        reason=reason,
        steps=tuple(
            steps.get(name, StepResult(name=name, state="skipped"))
            for name in step_names(plan.config.schedule.build().stages)
        ),
        source=", ".join(project.config.sources),
        snapshot=SnapshotSummary(
            content_hash=plan.snapshot.content_hash,
            images=plan.snapshot.images,
            new=state.new,
        ),
        data_hash=manifest.get("data", {}).get("hash"),
        config_hash=manifest.get("config_hash"),
        code=manifest.get("code") or manifest.get("growgan"),
        run_folder=project.relative(plan.run.path) if manifest else None,
        version=published.get("version"),
        content_hash=published.get("content_hash"),
        previous_version=state.former,
        serving=project.stable_version,
        evaluation=scores,
        promoted=promoted,
        gate=gate,
        report=project.relative(report) if report and report.exists() else None,
        pictures=tuple(map(project.relative, sheets_of(plan))),
        curves=project.relative(plan.run.metrics) if plan.run.metrics.exists() else None,
    )


def _ending(run: Run, *, gated: bool) -> tuple[Ending, str]:
    """Return how a run ended, and the reason in words."""
    plan, failure = run.plan, run.state.failure
    if failure is not None:
        return failure.ending, failure.reason
    before, version = plan.read_end(), (plan.read_note("published") or {}).get("version")
    # Compare names: after a kill, the same run may end twice, and then has promoted the version.
    if before is not None and before.verdict == "promoted" and before.run != run.folder.name:
        return "unchanged", f"run {before.run} has promoted version {version} already"
    kept = "all rules of the gate are kept" if gated else why_not_judged(plan.project)
    return "promoted", f"{kept}, and servers answer with version {version}"


def _log(run: Run, name: str, problems: Iterable[str]) -> None:
    folder = run.plan.project.logs
    if lines := [f"{run.folder.name}: {problem}\n" for problem in problems]:
        with suppress(OSError):  # The disk may be full.
            folder.mkdir(exist_ok=True)
            with (folder / f"{name}.log").open("a") as file:
                file.writelines(lines)
