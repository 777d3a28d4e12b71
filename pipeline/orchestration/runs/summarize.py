"""Summarize a run: its outcome, from its state, its plan and the repository."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation.scores import Evaluation, folder_of
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import LABEL, Project
from pipeline.orchestration.runs.outcome import Ending, Outcome, Snapshot, Step, now
from pipeline.orchestration.runs.run_state import RunState, step_names
from pipeline.orchestration.steps.judging import (
    scores_of,
    scores_of_version,
    sheets_of,
    verdict_of,
    why_not_judged,
)


def summarize(plan: Plan, state: RunState, name: str) -> Outcome:
    """Return the outcome of a run that ends now.

    Args:
        plan: Plan of the run.
        state: State of the run.
        name: Name of its folder in the history.
    """
    project = plan.project
    published = plan.mark("published") or {}
    manifest = plan.run.manifest() if plan.run.exists() else {}
    # A run may fail before its model was measured.
    scores = scores_of(plan) if plan.mark("evaluated") is not None else None
    promoted = scores_of_version(plan, state.former)
    gate = verdict_of(plan, promoted) if scores else None
    verdict, reason = _ending(plan, state, name, gated=gate is not None)
    return Outcome(
        run=name,
        model=project.config.model,
        trigger=state.trigger,
        started=state.started,
        ended=now(),
        verdict=verdict,
        reason=reason,
        steps=_in_order(state.steps, step_names(plan.config.schedule.build().stages)),
        source=", ".join(project.config.sources),
        snapshot=Snapshot(
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
        serving=stable_version(project),
        evaluation=scores,
        promoted=promoted,
        gate=gate,
        report=_report(plan, scores),
        pictures=tuple(map(project.relative, sheets_of(plan))),
        curves=project.relative(plan.run.metrics) if plan.run.metrics.exists() else None,
    )


def stable_version(project: Project) -> int | None:
    """Return the version that `stable` serves, None if it serves nothing yet."""
    return project.repository.standing(project.config.model).labels.get(LABEL)


def _ending(plan: Plan, state: RunState, name: str, *, gated: bool) -> tuple[Ending, str]:
    """Return how a run ends, and why."""
    if state.failure is not None:
        return state.failure.ending, state.failure.reason
    before, version = plan.ended(), (plan.mark("published") or {}).get("version")
    # The same run may end twice: a repeat after a kill finds all steps done.
    if before is not None and before.verdict == "promoted" and before.run != name:
        return "unchanged", f"run {before.run} has promoted version {version} already"
    kept = "all rules of the gate are kept" if gated else why_not_judged(plan.project)
    return "promoted", f"{kept}, and servers answer with version {version}"


def _report(plan: Plan, scores: Evaluation | None) -> str | None:
    if scores is None:
        return None
    report = folder_of(plan.run, scores) / "report.html"
    return plan.project.relative(report) if report.exists() else None


def _in_order(steps: Sequence[Step], names: Sequence[str]) -> tuple[Step, ...]:
    known = {step.name: step for step in steps}
    return tuple(known.get(name, Step(name=name, state="skipped")) for name in names)
