"""`growgan gate` as a person, or a schedule, uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import exit_status
from tests.pipeline.cli.commands import Growgan, Result

GOOD = {"fid": (8.0, 7.5, 8.5), "recall": (0.45, 0.43, 0.47), "memorisation": (0.01, 0.0, 0.02)}
LENET = "lenet-1a2b1a2b1a2b"
RULES = ("gate.max_fid=10", "gate.min_recall=0.3", "gate.max_memorisation=0.05")


Gate = Callable[..., Result]


@pytest.fixture
def gate(growgan: Growgan) -> Gate:
    """Run `growgan gate` in this process."""

    def run(*arguments: object, rules: tuple[str, ...] = ()) -> Result:
        return growgan("gate", *arguments, *(word for rule in rules for word in ("--set", rule)))

    return run


def test_good_scores_pass(gate: Gate, evaluated, run_with, tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", evaluated(500, scores=GOOD), overrides=RULES, entries=3)
    result = gate(run.path)
    assert (result.status, result.err) == (0, "")
    folder = run.evaluation(500) / LENET
    assert result.out.splitlines() == [
        "pass  min_images: at least 10000 images must be behind each score. Received: "
        "10000 for fid, 10000 for recall, 10000 for memorisation",
        "pass  max_fid: `fid` must be at most 10. Received: 8 (7.5 to 8.5)",
        "pass  min_recall: `recall` must be at least 0.3. Received: 0.45 (0.43 to 0.47)",
        "pass  max_memorisation: `memorisation` must be at most 0.05. Received: 0.01 (0 to 0.02)",
        "gate: runs/a, images-000000500 passed",
        f"written: {folder / 'gate.json'}, {folder / 'report.html'}",
    ]
    assert json.loads((folder / "gate.json").read_text())["passed"] is True
    assert "passed" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("kind", "scores", "rule"),
    [
        ("untrained", {"fid": (290.0, 280.0, 300.0)}, "max_fid"),
        ("collapsed", {"recall": (0.002, 0.001, 0.004)}, "min_recall"),
        ("memorising", {"fid": (0.5, 0.4, 0.6), "memorisation": (0.97, 0.96, 0.98)},
         "max_memorisation"),
    ],
)  # fmt: skip
def test_bad_scores_end_with_a_status_of_their_own(
    gate: Gate, evaluated, run_with, tmp_path: Path, kind: str, scores: dict, rule: str
) -> None:
    run = run_with(tmp_path / kind, evaluated(500, scores=GOOD | scores), overrides=RULES)
    result = gate(run.path)
    assert (result.status, result.err) == (exit_status.GATE, "")
    [line] = [line for line in result.out.splitlines() if line.startswith("FAIL")]
    assert line.startswith(f"FAIL  {rule}: ")
    assert "failed 1 of 4 rules" in result.out
    content = json.loads((run.evaluation(500) / LENET / "gate.json").read_text())
    assert content["passed"] is False
    assert [each["rule"] for each in content["rules"] if not each["passed"]] == [rule]


def test_rules_may_be_given_or_taken_back_for_once(
    gate: Gate, evaluated, run_with, tmp_path: Path
) -> None:
    run = run_with(tmp_path / "run", evaluated(scores=GOOD), overrides=RULES)
    before = (run.path / "config.yaml").read_bytes()
    assert gate(run.path, rules=("gate.max_fid=8.5",)).status == 0
    assert gate(run.path, rules=("gate.max_fid=8.49",)).status == exit_status.GATE
    assert gate(run.path, rules=("gate.max_fid=1", "gate.max_fid=null")).status == 0
    assert (run.path / "config.yaml").read_bytes() == before


def test_an_earlier_evaluation_can_be_judged(
    gate: Gate, evaluated, run_with, tmp_path: Path
) -> None:
    worse = evaluated(10, scores=GOOD | {"fid": (20.0, 19.0, 21.0)})
    run = run_with(tmp_path / "run", worse, evaluated(20, scores=GOOD), overrides=RULES)
    assert gate(run.path).status == 0
    assert gate(run.path, "--evaluation", 10).status == exit_status.GATE
    assert gate(run.path, "--evaluation", 20).status == 0
    result = gate(run.path, "--evaluation", 15)
    assert result.status == 2
    assert "without an evaluation after 15 images, only after 10, 20" in result.err


def test_promoted_scores_are_a_run_a_folder_or_a_file(
    gate: Gate, evaluated, run_with, tmp_path: Path
) -> None:
    worse = evaluated(1, scores={"fid": 99.0})
    promoted = run_with(tmp_path / "old", worse, evaluated(2, scores={"fid": 8.2}))
    run = run_with(tmp_path / "run", evaluated(scores=GOOD))
    folder = promoted.evaluation(2) / LENET
    for given in (promoted.path, folder, folder / "scores.json"):
        kept, broken = (
            gate(run.path, "--promoted", given, rules=(f"gate.max_fid_increase_over_promoted={x}",))
            for x in (0.05, 0.03)
        )
        assert (kept.status, broken.status) == (0, exit_status.GATE)
        assert "1.05 times the 8.2 of the promoted. Received: 8 (7.5 to 8.5)" in kept.out
    content = json.loads((run.evaluation(1000) / LENET / "gate.json").read_text())
    assert content["promoted"]["checkpoint"] == "images-000000002"


def test_promoted_scores_of_other_features_fail(
    gate: Gate, evaluated, run_with, tmp_path: Path
) -> None:
    features = {"name": "inception", "identity": "77" * 32}
    promoted = run_with(tmp_path / "old", evaluated(features=features))
    run = run_with(tmp_path / "run", evaluated(scores=GOOD))
    rules = ("gate.max_fid_increase_over_promoted=99",)
    result = gate(run.path, "--promoted", promoted.path, rules=rules)
    assert result.status == exit_status.GATE
    assert "other features, lenet 1a2b1a2b1a2b instead of inception 777777777777" in result.out
    assert gate(run.path, rules=rules).status == exit_status.GATE


def test_mistakes_are_one_line_and_status_2(
    gate: Gate, evaluated, run_with, tmp_path: Path
) -> None:
    run = run_with(tmp_path / "run", evaluated(scores=GOOD)).path
    empty = run_with(tmp_path / "empty", overrides=RULES).path
    (tmp_path / "other.json").write_text('{"schema": 9}')
    for arguments, rules, message in (
        ([tmp_path / "none"], (), "a run folder holds a config.yaml. Received:"),
        ([empty], (), "a run must be evaluated first, by `growgan evaluate`. Received:"),
        ([run], (), "`gate` must have a rule: `gate.max_fid`, "),
        ([run], ("gate.max_fid=-1",), "`gate.max_fid` must be greater than or equal to 0"),
        ([run], ("gate.max_fid=.inf",), "`gate.max_fid` must be a finite number"),
        ([run], ("gate.min_recall=2",), "`gate.min_recall` must be less than or equal to 1"),
        ([run], ("gate.max_fd=1",), "`gate.max_fd` is no known key (did you mean max_fid?)"),
        ([run], ("gate.without_interval=[swd]",), "`gate.without_interval` must be 'fid'"),
        ([run], ("run.seed=1",), "`--set` must be of the section `gate` here. Received: run.seed"),
        ([run, "--promoted", empty], RULES, "a run must be evaluated first"),
        ([run, "--promoted", run], RULES, "promoted scores need the rule"),
        ([run, "--promoted", tmp_path / "other.json"], RULES, "other.json, of schema 9"),
        ([run, "--promoted", tmp_path / "no"], RULES, "which cannot be read: No such file"),
    ):
        result = gate(*arguments, rules=rules)
        assert result.status == 2
        assert result.out == ""
        assert result.err.startswith("growgan: ")
        assert result.err.count("\n") == 1
        assert message in result.err
    assert not (run / "evaluations" / "images-000001000" / "gate.json").exists()


@pytest.mark.new_interpreter
def test_it_starts_no_tensorflow(evaluated, run_with, tmp_path: Path) -> None:
    """It is asked in schedules, where seconds count."""
    run = run_with(tmp_path / "run", evaluated(scores=GOOD), overrides=RULES)
    code = (
        f"import sys; sys.argv = ['growgan', 'gate', {str(run.path)!r}]\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: status = end.code or 0\n"
        'sys.exit(f\'{status} {set(sys.modules) & {"tensorflow", "keras"}}\')'
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stderr == "0 set()\n"


def test_the_evaluation_on_the_policys_features_is_judged(
    gate: Gate, evaluated, run_with, tmp_path: Path
) -> None:
    other = evaluated(500, scores={"fid": 99.0}, features={"name": "keras:X", "identity": "7" * 64})
    other = other.model_copy(update={"created": other.created.replace(year=2027)})
    run = run_with(tmp_path / "run", evaluated(500, scores=GOOD), other, overrides=RULES)
    assert gate(run.path).status == exit_status.GATE
    assert gate(run.path, rules=("gate.features=lenet",)).status == 0
    assert (run.evaluation(500) / LENET / "gate.json").is_file()
