"""The gate: what is good passes, and everything else fails with its reason."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pipeline.config import GateConfig
from pipeline.errors import UserError
from pipeline.evaluation.gate import (
    OVER_PROMOTED,
    SCORE_OF,
    Ruling,
    judge,
    verdict_on,
    write_verdict,
)
from pipeline.evaluation.scores import read_scores, write_scores
from pipeline.training_run.folder import RunFolder

POLICY = GateConfig(
    max_fid=10, max_kid=0.01, min_precision=0.5, min_recall=0.3, max_memorisation=0.05
)
GOOD = {
    "fid": (8.0, 7.5, 8.5),
    "kid": (0.004, 0.003, 0.005),
    "precision": (0.7, 0.68, 0.72),
    "recall": (0.45, 0.43, 0.47),
    "memorisation": (0.01, 0.005, 0.02),
}


def failed(verdict) -> list[str]:
    """Names of the rules that are not kept."""
    return [rule.rule for rule in verdict.rules if not rule.passed]


def ruling(verdict, rule: str) -> Ruling:
    """What was decided of one rule."""
    [found] = [each for each in verdict.rules if each.rule == rule]
    return found


def test_good_scores_pass_with_a_reason_for_every_rule(evaluated) -> None:
    verdict = judge(evaluated(scores=GOOD), POLICY)
    assert verdict.passed
    assert [rule.rule for rule in verdict.rules] == [
        "min_images", "max_fid", "max_kid", "min_precision", "min_recall", "max_memorisation",
    ]  # fmt: skip
    assert ruling(verdict, "max_fid").reason == (
        "`fid` must be at most 10. Received: 8 (7.5 to 8.5)"
    )
    assert all("Received: " in rule.reason for rule in verdict.rules)


@pytest.mark.parametrize(
    ("kind", "scores", "rules"),
    [
        ("untrained", {"fid": (290.0, 280.0, 300.0), "kid": (0.3, 0.29, 0.31),
                       "precision": (0.0, 0.0, 0.001), "recall": (0.0, 0.0, 0.001),
                       "memorisation": (0.0, 0.0, 0.001)},
         ["max_fid", "max_kid", "min_precision", "min_recall"]),
        ("collapsed", {"fid": (90.0, 88.0, 92.0), "kid": (0.09, 0.08, 0.1),
                       "precision": (0.95, 0.94, 0.96), "recall": (0.002, 0.001, 0.004)},
         ["max_fid", "max_kid", "min_recall"]),
        ("memorising", {"fid": (0.5, 0.4, 0.6), "memorisation": (0.97, 0.96, 0.98)},
         ["max_memorisation"]),
    ],
)  # fmt: skip
def test_bad_models_fail_for_what_is_bad_in_them(evaluated, kind, scores, rules) -> None:
    verdict = judge(evaluated(scores=GOOD | scores), POLICY)
    assert not verdict.passed, kind
    assert failed(verdict) == rules


@pytest.mark.parametrize("rule", [name for name in SCORE_OF if name != OVER_PROMOTED])
def test_the_worse_end_of_an_interval_must_keep_the_bound(evaluated, rule: str) -> None:
    """Just at the bound passes; beyond it, by the end or by the value, fails."""
    name, bound = SCORE_OF[rule], 0.5
    policy = GateConfig(**{rule: bound})
    worse = 1e-9 if rule.startswith("max_") else -1e-9
    better = -0.1 if rule.startswith("max_") else 0.1

    def passes(value: float, end: float, other: float) -> bool:
        low, high = (other, end) if rule.startswith("max_") else (end, other)
        return judge(evaluated(scores={name: (value, low, high)}), policy).passed

    assert passes(bound + better, bound, bound + better)
    assert not passes(bound + better, bound + worse, bound + better)
    # The value itself may lie outside of the interval, and counts then.
    assert not passes(bound + worse, bound + better, bound + 2 * better)
    # The better end is not asked.
    assert not passes(bound + worse, bound + worse, bound + better)


@pytest.mark.parametrize("rule", [name for name in SCORE_OF if name != OVER_PROMOTED])
@pytest.mark.parametrize(
    "score",
    [
        (math.nan, 0.4, 0.6),
        (0.5, math.nan, math.nan),
        (math.inf, math.inf, math.inf),
        (-math.inf, -math.inf, -math.inf),
        (math.nan,),
    ],
)
def test_what_is_not_finite_fails(evaluated, rule: str, score: tuple[float, ...]) -> None:
    loose = GateConfig(
        **{rule: 1.0 if rule.startswith("max_") else 0.0}, without_interval=(SCORE_OF[rule],)
    )
    assert judge(evaluated(scores={SCORE_OF[rule]: 0.5}), loose).passed
    verdict = judge(evaluated(scores={SCORE_OF[rule]: score}), loose)
    assert failed(verdict) == [rule]
    assert "which is not finite" in ruling(verdict, rule).reason


@pytest.mark.parametrize("rule", SCORE_OF)
def test_what_is_missing_fails(evaluated, rule: str) -> None:
    verdict = judge(evaluated(scores={"ms_ssim": 0.1}), GateConfig(**{rule: 1.0}))
    assert failed(verdict) == ["min_images", rule]
    assert "Received: none" in ruling(verdict, rule).reason
    assert f"Received: 0 for {SCORE_OF[rule]}" in ruling(verdict, "min_images").reason


def test_without_an_interval_a_score_fails_unless_the_policy_allows_it(evaluated) -> None:
    scores = evaluated(scores={"fid": 5.0, "recall": 0.5})
    policy = {"max_fid": 10, "min_recall": 0.3}
    verdict = judge(scores, GateConfig(**policy))
    assert failed(verdict) == ["max_fid", "min_recall"]
    assert ruling(verdict, "max_fid").reason == (
        "`fid` must be at most 10, with an interval unless `gate.without_interval` has it. "
        "Received: 5 without an interval"
    )
    verdict = judge(scores, GateConfig(**policy, without_interval=("recall",)))
    assert failed(verdict) == ["max_fid"]
    assert failed(judge(scores, GateConfig(min_recall=0.6, without_interval=("recall",)))) == [
        "min_recall"
    ]


@pytest.mark.parametrize("protocol", [{"images": 9_999}, {}, {"images": "10000"}, {"images": 1e6}])
def test_too_few_images_fail(evaluated, protocol: dict) -> None:
    verdict = judge(evaluated(scores=GOOD, protocol=protocol), POLICY)
    assert failed(verdict) == ["min_images"]
    assert "at least 10000 images must be behind each" in ruling(verdict, "min_images").reason


def test_only_scores_that_a_rule_asks_for_need_the_images(evaluated) -> None:
    evaluation = evaluated(scores=GOOD)
    few = evaluation.score("kid").model_copy(update={"protocol": {"images": 5}})
    evaluation = evaluation.model_copy(update={"scores": (evaluation.score("fid"), few)})
    assert judge(evaluation, GateConfig(max_fid=10)).passed
    verdict = judge(evaluation, GateConfig(max_fid=10, max_kid=0.01))
    assert failed(verdict) == ["min_images"]
    assert "Received: 10000 for fid, 5 for kid" in ruling(verdict, "min_images").reason


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ("lenet", True),
        ("1a2b" * 16, True),
        ("1a2b" * 3, True),  # As lines show it.
        ("inception", False),
        ("1a2b", False),
    ],
)
def test_features_may_be_asked_for(evaluated, wanted: str, passes: bool) -> None:
    policy = GateConfig(max_fid=10, features=wanted)
    verdict = judge(evaluated(scores=GOOD), policy)
    assert verdict.passed == passes
    assert ruling(verdict, "features").passed == passes
    assert not judge(evaluated(scores=GOOD, features=None), policy).passed


@pytest.mark.parametrize(("fid", "passes"), [((9.0, 8.8, 9.24), True), ((9.0, 8.8, 9.25), False)])
def test_an_increase_is_a_share_of_the_promoted_value(evaluated, fid, passes: bool) -> None:
    promoted = evaluated(scores={"fid": (8.8, 8.0, 9.6)}, run="runs/old")
    policy = GateConfig(max_fid_increase_over_promoted=0.05)
    verdict = judge(evaluated(scores={"fid": fid}), policy, promoted)
    assert verdict.passed == passes
    rule = ruling(verdict, OVER_PROMOTED)
    assert rule.bound == pytest.approx(9.24)
    assert "at most 9.24, 1.05 times the 8.8 of the promoted" in rule.reason
    assert verdict.promoted.run == "runs/old"


def test_an_increase_of_zero_is_a_rule(evaluated) -> None:
    policy = GateConfig(max_fid_increase_over_promoted=0, without_interval=("fid",))
    promoted = evaluated(scores={"fid": 8.0})
    assert judge(evaluated(scores={"fid": 8.0}), policy, promoted).passed
    assert not judge(evaluated(scores={"fid": 8.01}), policy, promoted).passed


@pytest.mark.parametrize(
    ("promoted", "reason"),
    [
        ({"data_hash": "beef" * 16}, "other data"),
        ({"features": {"name": "inception", "identity": "77" * 32}}, "other features"),
        ({"protocol": {"images": 50_000}}, "another protocol: images 10000 instead of 50000"),
        ({"scores": {"kid": 0.1}, "run": "runs/old"}, "runs/old has no fid"),
        ({"scores": {"fid": (math.nan, 1.0, 2.0)}}, "a promoted one of nan"),
        ({"scores": {"fid": (math.inf, 1.0, 2.0)}}, "a promoted one of inf"),
    ],
)
def test_promoted_scores_that_do_not_compare_fail(evaluated, promoted: dict, reason: str) -> None:
    """However good the candidate is."""
    policy = GateConfig(max_fid_increase_over_promoted=100.0)
    verdict = judge(evaluated(scores={"fid": (1e-3, 1e-3, 1e-3)}), policy, evaluated(**promoted))
    assert failed(verdict) == [OVER_PROMOTED]
    found = ruling(verdict, OVER_PROMOTED).reason
    assert found.startswith("`fid` must be comparable with that of the promoted. Received: ")
    assert reason in found


def test_a_candidate_without_the_score_of_the_promoted_fails(evaluated) -> None:
    policy = GateConfig(max_fid_increase_over_promoted=100.0)
    verdict = judge(evaluated(scores={"kid": 0.1}), policy, evaluated())
    assert failed(verdict) == ["min_images", OVER_PROMOTED]
    assert "Received: runs/a has no fid" in ruling(verdict, OVER_PROMOTED).reason


def test_missing_promoted_scores_fail_and_the_way_out_is_told(evaluated) -> None:
    verdict = judge(evaluated(scores=GOOD), GateConfig(max_fid_increase_over_promoted=0.1))
    assert failed(verdict) == [OVER_PROMOTED]
    assert "`gate.max_fid_increase_over_promoted=null`" in ruling(verdict, OVER_PROMOTED).reason


def test_a_policy_without_a_rule_is_refused(evaluated) -> None:
    with pytest.raises(UserError, match=r"`gate` must have a rule: `gate.max_fid`.*none"):
        judge(evaluated(), GateConfig(min_images=5, features="lenet"))


def test_promoted_scores_that_no_rule_looks_at_are_refused(evaluated) -> None:
    with pytest.raises(UserError, match=r"need the rule `gate.max_fid_increase_over_promoted`"):
        judge(evaluated(), GateConfig(max_fid=5), evaluated())


def test_a_verdict_is_written_read_and_known_by_its_scores(evaluated, tmp_path: Path) -> None:
    evaluation = evaluated(700, scores=GOOD | {"kid": math.nan})
    folder = write_scores(RunFolder(tmp_path), evaluation).parent
    assert verdict_on(evaluation, folder) is None
    verdict = judge(evaluation, POLICY)
    assert write_verdict(folder, verdict) == folder / "gate.json"
    again = verdict_on(read_scores(folder), folder)
    assert again.model_dump_json() == verdict.model_dump_json()
    later = evaluation.model_copy(update={"created": evaluation.created.replace(hour=13)})
    assert verdict_on(later, folder) is None
    content = json.loads((folder / "gate.json").read_text())
    assert content["schema"] == 1
    assert content["passed"] is False
    assert content["candidate"]["images_seen"] == 700
    assert content["policy"]["max_fid"] == 10
    assert [each["rule"] for each in content["rules"] if not each["passed"]] == ["max_kid"]
    assert content["rules"][2]["value"] == "NaN"


def test_a_damaged_verdict_is_one_line(evaluated, tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text('{"schema": 3}')
    with pytest.raises(UserError, match=r"a verdict must be a `gate.json`.*of schema 3$"):
        verdict_on(evaluated(), tmp_path)
