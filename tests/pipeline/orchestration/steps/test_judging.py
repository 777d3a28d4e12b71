"""Steps that evaluate a model and hold it to the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluation.publication import about
from pipeline.evaluation.scores import folder_of, write_evaluation, write_scores
from pipeline.orchestration import steps
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.runs.failure import StepFailed
from pipeline.orchestration.steps import judging, step
from pipeline.orchestration.steps.judging import scores_of_version, sheets_of
from tests.pipeline.orchestration.projects import (
    GATED,
    TINY,
    Commands,
    change,
    make_plan,
    measured,
    promoted_plan,
)


def test_sheets_are_the_newest_there_are(tmp_path: Path, evaluated) -> None:
    plan = make_plan(tmp_path)
    project = plan.project
    assert sheets_of(plan) == []
    plan.run.samples.mkdir(parents=True)
    for name in ("images-000000032.png", "images-000000064.png", "images-000000064.txt"):
        (plan.run.samples / name).touch()
    assert sheets_of(plan) == [plan.run.samples / "images-000000064.png"]
    checked = plan.check_folder("")
    checked.mkdir(parents=True)
    (checked / "report.json").touch()
    assert sheets_of(plan)[1:] == [checked / "contact-sheet.png"]
    scores = evaluated(64)
    write_scores(plan.run, scores)
    folder = folder_of(plan.run, scores)
    for name in ("worst.png", "samples.png", "report.html"):
        (folder / name).touch()
    assert len(sheets_of(plan)) == 2
    plan.write_note("evaluated", folder=str(folder.relative_to(project.path)))
    assert sheets_of(plan) == [
        folder / "samples.png", folder / "worst.png", checked / "contact-sheet.png",
    ]  # fmt: skip


def test_the_promoted_model_is_measured_on_the_new_pictures_where_the_gate_compares(
    tmp_path: Path, run_with: Any, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = {"max_fid_increase_over_promoted": 0.1}
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate=gate)
    here = evaluated(64, run="as measured here")

    def write(words: list[str]) -> None:
        if "--elsewhere" in words:
            write_evaluation(Path(words[words.index("--elsewhere") + 1]), here)
        else:
            write_scores(plan.run, evaluated(64))

    asked = Commands(write)
    monkeypatch.setattr(step, "growgan", asked)
    for _ in range(2):
        steps.evaluation(plan, lambda _: None, 1)
    own, promoted = asked.asked
    assert own[:2] == ["evaluate", str(plan.run.path)]
    assert promoted[0] == "evaluate"
    assert promoted[1] != own[1]
    assert f"data.source={plan.records}" in promoted
    assert scores_of_version(plan, 1) == here


def test_without_such_a_rule_nothing_more_is_measured(
    tmp_path: Path, run_with: Any, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = promoted_plan(tmp_path, run_with, evaluated)
    write_scores(plan.run, evaluated(64))
    asked = Commands()
    monkeypatch.setattr(step, "growgan", asked)
    monkeypatch.setattr(judging, "scores_of_version", lambda plan, version: None)
    steps.evaluation(plan, lambda _: None, 1)
    assert [words[:2] for words in asked.asked] == [["evaluate", str(plan.run.path)]]


def test_a_model_that_no_rule_judges_passes_and_it_is_said_why(
    tmp_path: Path, run_with: Any, evaluated: Any
) -> None:
    plan = measured(promoted_plan(tmp_path, run_with, evaluated), run_with, evaluated(64))
    done = steps.gate(plan, lambda _: None, None)
    said = "pipeline.yaml has no `gate`: a model is promoted whatever its scores are"
    assert (done.note, done.facts["verdict"], done.new) == (said, said, True)


def test_a_gate_that_was_removed_holds_up_nothing(
    tmp_path: Path, run_with: Any, evaluated: Any
) -> None:
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate={"max_fid": 0.1})
    measured(plan, run_with, evaluated(64))
    with pytest.raises(StepFailed):
        steps.gate(plan, lambda _: None, None)
    refused = about(plan.run, 64).gate
    assert refused is not None
    assert not refused.passed

    without = Plan(change(plan.project, gate=None), plan.snapshot)
    assert steps.gate(without, lambda _: None, None).note
    assert about(plan.run, 64).gate is None


def test_a_promoted_model_that_cannot_be_measured_again_is_named(
    tmp_path: Path, run_with: Any, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = {"max_fid_increase_over_promoted": 0.0}
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate=gate)
    measured(plan, run_with, evaluated(64))
    old = evaluated(64, data_hash="0ld1" * 16)
    monkeypatch.setattr(judging, "scores_of_version", lambda plan, version: old)
    with pytest.raises(StepFailed, match="as its run is gone from") as caught:
        steps.gate(plan, lambda _: None, 1)
    assert "Received: other data" in str(caught.value.failure.reason)


def test_a_gate_that_does_not_compare_says_nothing_of_the_promoted_model(
    tmp_path: Path, run_with: Any, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate={"max_fid": 0.1})
    measured(plan, run_with, evaluated(64))
    old = evaluated(64, data_hash="0ld1" * 16)
    monkeypatch.setattr(judging, "scores_of_version", lambda plan, version: old)
    with pytest.raises(StepFailed) as caught:
        steps.gate(plan, lambda _: None, 1)
    assert "promoted model" not in str(caught.value.failure.reason)


def test_a_promoted_model_is_not_compared_with_itself(
    tmp_path: Path, run_with: Any, evaluated: Any
) -> None:
    gate = {"max_fid_increase_over_promoted": 0.0}
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate=gate)
    run_with(plan.run.path, evaluated(64), overrides=TINY)
    for version, run in (
        (1, "runs/another"),
        (2, str(plan.run.path.relative_to(plan.project.path))),
    ):
        plan.write_note("published", version=version, destination=plan.destination, run=run)
    write_evaluation(plan.scores_folder / f"{plan.destination}-1.json", evaluated(64))
    write_evaluation(plan.scores_folder / f"{plan.destination}-2.json", evaluated(64))
    assert scores_of_version(plan, 1) is not None
    assert scores_of_version(plan, 2) is None


def test_a_first_model_has_nothing_to_be_compared_with(
    tmp_path: Path, run_with: Any, evaluated: Any
) -> None:
    gate = {"max_fid_increase_over_promoted": 0.1}
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate=gate)
    measured(plan, run_with, evaluated(64))
    done = steps.gate(plan, lambda _: None, None)
    assert done.note.startswith(
        "nothing else is promoted yet, and `gate` has no rule but max_fid_inc"
    )


def test_a_check_tells_of_scores_that_are_worse(evaluated: Any) -> None:
    before = evaluated(64, scores={"fid": 10.0, "recall": 0.5})
    assert judging.regression_check(before, None).passed
    for fid, recall, passed in ((10.4, 0.48, True), (10.6, 0.5, False), (10.0, 0.47, False)):
        now = evaluated(64, scores={"fid": fid, "recall": recall})
        check = judging.regression_check(now, before)
        assert check.passed is passed
        assert check.reason.endswith("of 2 scores that compare")
