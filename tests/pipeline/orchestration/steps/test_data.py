"""Steps that take a snapshot, check it and prepare records."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest

from pipeline.data.checking.report import write_check_report
from pipeline.data.checking.survey import survey
from pipeline.loading import load
from pipeline.orchestration import steps
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.runs.ending import end_run
from pipeline.orchestration.runs.failure import RunFailure, StepFailed
from pipeline.orchestration.runs.run import begin_run
from pipeline.orchestration.snapshots import take
from pipeline.orchestration.steps import data, step
from tests.pipeline.orchestration.projects import (
    TINY,
    Commands,
    change,
    make_plan,
    make_project,
    put_pictures,
)


@pytest.mark.parametrize(("channels", "refused"), [(None, True), (1, False), (3, False)])
def test_colour_does_not_turn_grey_because_a_preset_is_grey(
    tmp_path: Path, channels: int | None, refused: bool
) -> None:
    others = tuple(each for each in TINY if not each.startswith("data.channels"))
    chosen = () if channels is None else (f"data.channels={channels}",)
    project = make_project(tmp_path, overrides=(*others, *chosen))
    for number in range(3):
        levels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        PIL.Image.fromarray(levels).save(tmp_path / "incoming" / f"{number}.png")
    plan = Plan(project, take(project))
    checked = plan.check_folder("")
    write_check_report(checked, survey(plan.snapshot.source, workers=1))
    (checked / data.SHEET).touch()
    if refused:
        with pytest.raises(StepFailed, match="are in colour, and quickstart is for grey ones: add"):
            steps.checked_data(plan, lambda _: None, None)
    else:
        assert not steps.checked_data(plan, lambda _: None, None).new


def test_a_broken_contract_keeps_no_word_of_corrupt_pictures_back(tmp_path: Path) -> None:
    put_pictures(tmp_path / "incoming", 0, 3)
    (tmp_path / "incoming" / "torn.png").write_bytes(b"no picture")
    project = make_project(tmp_path, contract="contract.yaml")
    (project.path / "contract.yaml").write_text("least_pictures: 9\n")
    plan = Plan(project, take(project))
    checked = plan.check_folder(project.contract_text)
    found = survey(plan.snapshot.source, workers=1)
    write_check_report(checked, found.model_copy(update={"broken_rules": ("so few",)}))
    (checked / data.SHEET).touch()
    with pytest.raises(StepFailed, match=r"contract\.yaml: so few; corrupt are torn\.png \("):
        steps.checked_data(plan, lambda _: None, None)


def test_the_first_snapshot_of_its_content_is_new(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    project = plan.project
    assert steps.source_snapshot(plan, lambda _: None).new
    failed = begin_run(project, "r", snapshot=plan.snapshot.key, trigger="manual")
    end_run(failed, RunFailure(reason="so"))
    assert not steps.source_snapshot(plan, lambda _: None).new


def test_a_check_tells_of_shifts() -> None:
    def survey(moved: Any) -> Any:
        return SimpleNamespace(shift=moved)

    usual = SimpleNamespace(
        features=0.1, features_by_chance=0.1, largest_colour=0.0, class_shares=0.0
    )
    assert data.shift_check(survey(None)).passed
    assert data.shift_check(survey(usual)).passed
    for name in ("features", "largest_colour", "class_shares"):
        moved = SimpleNamespace(**{**vars(usual), name: 50.0})
        check = data.shift_check(survey(moved))
        assert not check.passed
        assert "50" in check.reason


def test_what_was_prepared_without_corrupt_pictures_is_refused_where_there_may_be_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path, overrides=(*TINY, "data.on_corrupt=skip"))
    project = plan.project
    plan.records.mkdir(parents=True)
    manifest = {"data_hash": "d", "skipped": ["corrupt.png"], "resolutions": [4, 8]}
    (plan.records / "manifest.json").write_text(json.dumps(manifest))
    refuse = Commands()
    monkeypatch.setattr(step, "growgan", refuse)
    steps.records(plan, lambda _: None)
    assert refuse.asked == []
    strict = Plan(change(project, overrides=[*TINY]), plan.snapshot)
    steps.records(strict, lambda _: None)
    [words] = refuse.asked
    assert words[:4] == ["data", "prepare", plan.snapshot.source, str(plan.records)]
    config = load(words[words.index("--config") + 1])
    assert (config.data.on_corrupt, config) == ("fail", strict.config)
