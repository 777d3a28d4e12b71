"""Names follow from what decides a step: a change leads to that step, and to none before it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.orchestration.plan import Plan
from pipeline.orchestration.snapshots import take
from tests.pipeline.orchestration.projects import GATED, make_project, put_pictures


def plan(folder: Path, pictures: int = 3, overrides: tuple[str, ...] = (), **changes: Any) -> Plan:
    folder.mkdir()
    put_pictures(folder / "incoming", 0, pictures)
    project = make_project(folder, overrides=(*GATED, *overrides), **changes)
    return Plan(project, take(project))


def names(of: Plan) -> tuple[str, str, str]:
    return of.records.name, of.run.path.name, of.key


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, 3),
        ({"overrides": ("run.log_images=8",)}, 3),
        ({"retries": {"most": 7}}, 3),
        ({"gate": {"max_fid": 3.0}}, 2),
        ({"model": "other"}, 2),
        ({"repository": {"path": "elsewhere"}}, 2),
        ({"overrides": ("evaluation.seed=1",)}, 2),
        ({"overrides": ("schedule.hold_images=72",)}, 1),
        ({"overrides": ("run.seed=1",)}, 1),
        ({"training": {"warm_start": True}}, 1),
        ({"overrides": ("data.crop=pad",)}, 0),
        ({"pictures": 4}, 0),
    ],
)
def test_a_change_leads_to_the_first_step_that_it_decides(
    tmp_path: Path, changes: dict[str, Any], same: int
) -> None:
    before, after = names(plan(tmp_path / "a")), names(plan(tmp_path / "b", **changes))
    assert before[:same] == after[:same]
    assert not set(before[same:]) & set(after[same:])


def test_another_gate_or_repository_measures_and_verifies_nothing_again(tmp_path: Path) -> None:
    one = plan(tmp_path / "a", gate={"max_fid": 3.0})
    one.write_note("evaluated", folder="f")
    one.write_note("verified", savedmodel="s")
    one.write_note("tested", version=1)
    for number, changes in enumerate(
        (
            {"gate": {"max_fid": 4.0}},
            {"gate": None},
            {"model": "other"},
            {"repository": {"path": "elsewhere"}},
        )
    ):
        other = plan(tmp_path / str(number), **changes)
        shutil.copytree(one.project.plans, other.project.plans)
        assert other.read_note("evaluated") == {"folder": "f"}
        assert other.read_note("verified") == {"savedmodel": "s"}
        assert other.read_note("tested") is None


def test_what_was_noted_is_found(tmp_path: Path) -> None:
    one = plan(tmp_path / "a")
    assert one.read_note("published") is None
    assert one.read_end() is None
    one.write_note("published", version=3)
    one.write_note("ended", run="r", verdict="promoted", reason="so", final=True)
    assert one.read_note("published") == {"version": 3}
    ended = one.read_end()
    assert ended is not None
    assert (ended.verdict, ended.final) == ("promoted", True)
