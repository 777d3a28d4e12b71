"""Steps `evaluation` and `gate`: score the new model, beside the promoted one, and judge it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.evaluation.gate import (
    OVER_PROMOTED,
    Verdict,
    judge,
    remove_verdict,
    rules_of,
    write_verdict,
)
from pipeline.evaluation.publication import evaluation_in
from pipeline.evaluation.scores import (
    Evaluation,
    Score,
    better_of,
    evaluation_of,
    folder_of,
    obstacles,
    read_scores,
)
from pipeline.exit_status import GATE
from pipeline.orchestration.commands import Log
from pipeline.orchestration.plan import Plan, run_behind
from pipeline.orchestration.project import PIPELINE, Project, yaml_text
from pipeline.orchestration.runs.failure import StepFailed
from pipeline.orchestration.steps.data import SHEET, report_of
from pipeline.orchestration.steps.step import Done, StepCheck, run_growgan
from pipeline.training_run.folder import RunFolder

REGRESSION = 0.05
"""Fraction of the promoted model's score by which a new one may be worse before the check fails."""


def evaluation(plan: Plan, log: Log, former: int | None) -> Done:
    """Score the new model, and the promoted model too if the gate compares with it."""
    new = plan.read_note("evaluated") is None
    if new:
        _evaluate(plan, log, plan.run)
        scores = evaluation_of(plan.run)
        folder = folder_of(plan.run, scores)
        plan.write_note("evaluated", folder=str(folder.relative_to(plan.project.path)))
    _measure_promoted(plan, log, former)
    scores, promoted = scores_of(plan), scores_of_version(plan, former)
    folder = folder_of(plan.run, scores)
    return Done(
        {score.name: str(score) for score in scores.scores},
        new,
        pictures=tuple(folder / f"{name}.png" for name in ("samples", "best", "worst")),
        files={"report": folder / "report.html", "scores": folder},
        checks={"score_regression": regression_check(scores, promoted)},
    )


def gate(plan: Plan, log: Log, former: int | None) -> Done:
    """Judge the scores by the gate; without a rule, let every model pass.

    Raises:
        StepFailed: if a rule is broken.
    """
    promoted = scores_of_version(plan, former)
    verdict = verdict_of(plan, promoted)
    folder = folder_of(plan.run, scores_of(plan))
    if verdict is None:
        remove_verdict(folder)  # A verdict of a gate that was removed since would stop promotion.
        reason = why_not_judged(plan.project)
        return Done({"verdict": reason}, new=True, note=reason)
    write_verdict(folder, verdict)
    failed = [f"{rule.rule}: {rule.reason}" for rule in verdict.rules if not rule.passed]
    other_data = promoted and promoted.lineage.data_hash != scores_of(plan).lineage.data_hash
    compares = any(rule.rule == OVER_PROMOTED and not rule.passed for rule in verdict.rules)
    if other_data and compares:
        failed.append(
            "the promoted model could not be measured on the new pictures, as its run is gone from "
            f"{plan.project.runs} or has another resolution"
        )
    if failed:
        raise StepFailed("; ".join(failed), ending="gate failed", status=GATE)
    return Done(
        {rule.rule: rule.reason for rule in verdict.rules}, new=True, files={"verdict": folder}
    )


def scores_of(plan: Plan) -> Evaluation:
    """Read the scores of a plan's model, which must have been evaluated."""
    noted = plan.read_note("evaluated")
    if noted is None:
        raise UserError(f"a run must be evaluated first. Received: {plan.run.path}")
    return read_scores(plan.project.path / noted["folder"])


def sheets_of(plan: Plan) -> list[Path]:
    """List the PNG files of generated images, then the contact sheet of the training pictures."""
    if plan.read_note("evaluated") is not None:
        sheets = sorted(folder_of(plan.run, scores_of(plan)).glob("*.png"))
    else:
        sheets = sorted(plan.run.samples.glob("*.png"))[-1:]
    report = report_of(plan)
    return sheets if report is None else [*sheets, report.with_name(SHEET)]


def verdict_of(plan: Plan, promoted: Evaluation | None) -> Verdict | None:
    """Return the gate's verdict on a plan's scores, None if no rule applies."""
    policy = plan.config.gate
    # Drop the rule that compares with the promoted model: it would refuse the first model.
    if promoted is None or policy.max_fid_increase_over_promoted is None:
        promoted = None
        policy = policy.model_copy(update={OVER_PROMOTED: None})
    return judge(scores_of(plan), policy, promoted) if rules_of(policy) else None


def why_not_judged(project: Project) -> str:
    """Return in one line why no score decides the promotion."""
    if project.config.gate is None:
        return f"{PIPELINE} has no `gate`: a model is promoted whatever its scores are"
    return f"nothing else is promoted yet, and `gate` has no rule but {OVER_PROMOTED}"


def scores_of_version(plan: Plan, version: int | None) -> Evaluation | None:
    """Read the scores of a version on the plan's pictures, or else those published with it.

    Returns:
        The scores; None if there are none, or the version is the plan's own model.
    """
    run = None if version is None else run_behind(plan.project, version)
    if version is None or (run is not None and run.path == plan.run.path):
        return None
    file = _promoted_scores_file(plan, version)
    if file.exists():
        return read_scores(file)
    publication = plan.project.repository.publication(plan.project.config.model, version)
    return evaluation_in(publication)


def regression_check(scores: Evaluation, promoted: Evaluation | None) -> StepCheck:
    """Check that no score is worse than the promoted model's by more than `REGRESSION`."""
    if promoted is None:
        return StepCheck(True, "nothing is promoted yet")
    worse, compared = [], 0
    for score in scores.scores:
        former, better = promoted.score(score.name), better_of(score.name)
        against = obstacles(score.name, scores, promoted)
        # Compare even if only the pictures differ, because new pictures are why a run starts.
        if former is None or not better or any(not r.startswith("other data") for r in against):
            continue
        compared += 1
        sign = 1 if better == "less" else -1
        rise = sign * (score.value - former.value)
        if rise > REGRESSION * abs(former.value) and _are_apart(score, former):
            worse.append(f"{score.name} is {score} after {former}")
    same = scores.lineage.data_hash == promoted.lineage.data_hash
    return StepCheck(
        not worse,
        f"{'; '.join(worse) or 'none is worse'}, of {compared} scores that compare"
        + ("" if same else ", each on its own data"),
    )


def _are_apart(new: Score, old: Score) -> bool:
    """Return whether the confidence intervals of two scores do not overlap, or one has none."""
    # Needed beside `REGRESSION`: near 0, chance alone changes a score by any fraction.
    ends = (new.low, new.high, old.low, old.high)
    if None in ends:
        return True
    new_low, new_high, old_low, old_high = (float(end) for end in ends if end is not None)
    return new_high < old_low or old_high < new_low


def _measure_promoted(plan: Plan, log: Log, version: int | None) -> None:
    """Score the promoted model on the new pictures, if the gate compares with it."""
    if version is None or plan.config.gate.max_fid_increase_over_promoted is None:
        return
    run = run_behind(plan.project, version)
    if run is None or run.path == plan.run.path:
        return
    file, config = _promoted_scores_file(plan, version), plan.config
    # Skip a promoted model of another resolution: its scores would not compare.
    if not file.exists() and run.config().schedule.shape == config.schedule.shape:
        _evaluate(plan, log, run, "--elsewhere", str(file), *_set("data.source", str(plan.records)))


def _promoted_scores_file(plan: Plan, version: int) -> Path:
    """Return the file for a promoted version's scores on the plan's pictures."""
    return plan.scores_folder / f"{plan.destination}-{version}.json"


def _evaluate(plan: Plan, log: Log, run: RunFolder, *options: str) -> None:
    settings = plan.config.evaluation.model_dump(mode="json").items()
    words = [word for key, value in settings for word in _set(f"evaluation.{key}", value)]
    run_growgan(plan, log, "evaluate", str(run.path), *words, *options)


def _set(key: str, value: Any) -> tuple[str, str]:
    return "--set", f"{key}={yaml_text(value)}"
