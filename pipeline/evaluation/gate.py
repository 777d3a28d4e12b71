"""Gate: decide by the rules in `gate.*` of a configuration whether scores are good enough.

`growgan gate` and scheduled runs use it; a scheduled run promotes only a model that passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from pipeline.config import EvaluationConfig, GateConfig
from pipeline.errors import UserError
from pipeline.evaluation.scores import Evaluation, JsonRecord, Score, fault_of, obstacles
from savedmodels.atomic import write_file

VERDICT = "gate.json"
OVER_PROMOTED = "max_fid_increase_over_promoted"
"""The only rule that needs the scores of the promoted model."""
SCORE_OF = {
    "max_fid": "fid",
    OVER_PROMOTED: "fid",
    "max_kid": "kid",
    "min_precision": "precision",
    "min_recall": "recall",
    "max_memorisation": "memorisation",
}
"""Score that each rule bounds; `features` and `min_images` are about how scores were measured."""
_MEASURE_OF = {"precision": "precision_recall", "recall": "precision_recall"}
"""Measure that computes a score, for scores whose measure has a different name."""


class Ruling(JsonRecord):
    """Result of one rule."""

    rule: str
    """Name of the rule, a key of the policy."""
    passed: bool
    reason: str
    """Requirement of the rule and the value received, in one line."""
    score: str | None = None
    bound: float | None = None
    """Bound on the score and the worse end of its interval; or a number of images."""
    value: float | None = None
    low: float | None = None
    high: float | None = None


class Judged(JsonRecord):
    """Reference to an evaluation, for a verdict."""

    run: str
    checkpoint: str
    images_seen: int
    created: datetime


class Verdict(JsonRecord):
    """Decision of the gate, with a reason for each rule."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    passed: bool
    """True if every rule passed."""
    candidate: Judged
    promoted: Judged | None
    """Evaluation of the promoted model, to compare the candidate with; None if not given."""
    policy: GateConfig
    rules: tuple[Ruling, ...]


def judge(
    evaluation: Evaluation, policy: GateConfig, promoted: Evaluation | None = None
) -> Verdict:
    """Judge whether the scores of an evaluation pass every rule of a policy.

    For a score `s` with the 95 % interval `[l, h]`, `max_…` requires `max(s, h) ≤ bound` and
    `min_…` requires `min(s, l) ≥ bound`. The bound of `max_fid_increase_over_promoted = x` is
    `(1 + x) · FID of the promoted model`. A rule fails if its score is missing, not finite, without
    an interval (unless the policy allows that), or not comparable with that of the promoted model.

    Raises:
        UserError: if the policy bounds no score at all, or no rule uses the given `promoted`.
    """
    bounded = {rule: SCORE_OF[rule] for rule in rules_of(policy)}
    if not bounded:
        raise UserError(
            f"`gate` must have a rule: {', '.join(f'`gate.{rule}`' for rule in SCORE_OF)}. "
            "Received: none"
        )
    if promoted is not None and OVER_PROMOTED not in bounded:
        raise UserError(
            f"promoted scores need the rule `gate.{OVER_PROMOTED}`. Received: {promoted.run} "
            "without it"
        )
    rules = (
        *_judge_features(evaluation, policy),
        _judge_images(evaluation, policy, bounded.values()),
        *(
            _judge_over_promoted(evaluation, policy, promoted)
            if rule == OVER_PROMOTED
            else _judge_bound(rule, evaluation.score(score), getattr(policy, rule), policy)
            for rule, score in bounded.items()
        ),
    )
    return Verdict(
        passed=all(rule.passed for rule in rules),
        candidate=_reference_to(evaluation),
        promoted=promoted and _reference_to(promoted),
        policy=policy,
        rules=rules,
    )


def rules_of(policy: GateConfig) -> tuple[str, ...]:
    """Return the names of the rules in a policy that bound a score."""
    return tuple(rule for rule in SCORE_OF if getattr(policy, rule) is not None)


def require_answerable(policy: GateConfig, settings: EvaluationConfig) -> None:
    """Refuse a policy that cannot pass with these settings of the evaluation.

    Pipelines are checked with this before they train, so that the gate does not fail hours later.

    Raises:
        UserError: if a score in the policy is not measured, or is measured on too few images.
    """
    rules = rules_of(policy)
    if rules and settings.features is None:
        raise UserError(
            f"`gate.{rules[0]}` needs `evaluation.features` to measure its score. Received: none"
        )
    for rule in rules:
        measure = _MEASURE_OF.get(SCORE_OF[rule], SCORE_OF[rule])
        if settings.metrics is not None and measure not in settings.metrics:
            raise UserError(
                f"`gate.{rule}` needs {measure} among `evaluation.metrics`. "
                f"Received: {', '.join(settings.metrics)}"
            )
    if rules and settings.images < policy.min_images:
        raise UserError(
            "`gate.min_images` must be at most `evaluation.images`, the images that are measured. "
            f"Received: {policy.min_images} and {settings.images}"
        )


def write_verdict(folder: Path, verdict: Verdict) -> Path:
    """Write `gate.json` into the folder of an evaluation, and return its path."""
    path = folder / VERDICT
    write_file(path, verdict.model_dump_json(indent=2) + "\n")
    return path


def remove_verdict(folder: Path) -> None:
    """Remove the verdict of an earlier policy, if any, from the folder of an evaluation."""
    (folder / VERDICT).unlink(missing_ok=True)


def verdict_on(evaluation: Evaluation, folder: Path) -> Verdict | None:
    """Read the verdict from the folder of an evaluation; None if the gate has not judged it.

    Raises:
        UserError: if the verdict in the folder cannot be read.
    """
    file = folder / VERDICT
    if not file.is_file():
        return None
    try:
        verdict = Verdict.model_validate_json(file.read_bytes())
        # Ignore a verdict on earlier scores, which a repeated evaluation has replaced.
        return verdict if verdict.candidate == _reference_to(evaluation) else None
    except (OSError, ValidationError) as error:
        raise UserError(
            f"a verdict must be a `{VERDICT}` of schema 1 that `growgan gate` wrote. "
            f"Received: {file}, {fault_of(error)}"
        ) from error


def _reference_to(evaluation: Evaluation) -> Judged:
    return Judged(**{name: getattr(evaluation, name) for name in Judged.model_fields})


def _judge_features(evaluation: Evaluation, policy: GateConfig) -> Iterator[Ruling]:
    if policy.features is not None:
        used = evaluation.features
        yield Ruling(
            rule="features",
            passed=used is not None and used.matches(policy.features),
            reason=f"features must be {policy.features}. Received: {used or 'none'}",
        )


def _judge_images(evaluation: Evaluation, policy: GateConfig, scores: Iterable[str]) -> Ruling:
    # A dictionary lists each score once, even if two rules bound it.
    counts = {name: _images_behind(evaluation.score(name)) for name in scores}
    received = ", ".join(f"{count} for {name}" for name, count in counts.items())
    return Ruling(
        rule="min_images",
        passed=all(count >= policy.min_images for count in counts.values()),
        reason=f"at least {policy.min_images} images must be behind each score. "
        f"Received: {received}",
        bound=policy.min_images,
    )


def _images_behind(score: Score | None) -> int:
    count = score.protocol.get("images") if score else None
    # Count an unknown number as 0, so that it does not pass by accident.
    return count if isinstance(count, int) else 0


def _judge_bound(
    rule: str, score: Score | None, bound: float, policy: GateConfig, origin: str = ""
) -> Ruling:
    """Judge a rule on one score; `origin` explains the bound in the reason."""
    name, is_max = SCORE_OF[rule], rule.startswith("max_")
    must = f"`{name}` must be at {'most' if is_max else 'least'} {bound:.6g}{origin}"
    ruling = Ruling(
        rule=rule, passed=False, reason=f"{must}. Received: none", score=name, bound=bound
    )
    if score is None:
        return ruling
    end = score.high if is_max else score.low
    # Judge the value as well as the end: a bootstrap interval need not contain the value.
    ends = [score.value] if end is None else [score.value, end]
    received = str(score)
    if not all(map(math.isfinite, ends)):
        # Fail explicitly: NaN makes comparisons unreliable, and must not pass by accident.
        passed, received = False, f"{score}, which is not finite"
    elif end is None and name not in policy.without_interval:
        passed, received = False, f"{score} without an interval"
        must += ", with an interval unless `gate.without_interval` has it"
    else:
        passed = max(ends) <= bound if is_max else min(ends) >= bound
    measured = {"value": score.value, "low": score.low, "high": score.high}
    reason = f"{must}. Received: {received}"
    return ruling.model_copy(update={"passed": passed, "reason": reason, **measured})


def _judge_over_promoted(
    evaluation: Evaluation, policy: GateConfig, promoted: Evaluation | None
) -> Ruling:
    increase = policy.max_fid_increase_over_promoted or 0.0
    if promoted is None:
        return _failed(
            "promoted scores must be given; if nothing is promoted yet, "
            f"`gate.{OVER_PROMOTED}=null` leaves the rule out. Received: none"
        )
    before, against = promoted.score("fid"), obstacles("fid", evaluation, promoted)
    if before is None or against or not math.isfinite(before.value):
        received = "; ".join(against) or f"a promoted one of {before}"
        return _failed(f"`fid` must be comparable with that of the promoted. Received: {received}")
    origin = f", {1 + increase:.6g} times the {before.value:.6g} of the promoted"
    bound = before.value * (1 + increase)
    return _judge_bound(OVER_PROMOTED, evaluation.score("fid"), bound, policy, origin)


def _failed(reason: str) -> Ruling:
    return Ruling(rule=OVER_PROMOTED, passed=False, reason=reason, score="fid")
