"""A run from its beginning to its end: its settings, its state file and its notifications."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import PIPELINE, Project
from pipeline.orchestration.runs import ending
from pipeline.orchestration.runs import run as module
from pipeline.orchestration.runs.ending import end_run
from pipeline.orchestration.runs.failure import RunFailure
from pipeline.orchestration.runs.outcome import Outcome, history_of
from pipeline.orchestration.runs.run import (
    Run,
    begin_run,
    find_folder,
    find_run,
    read_state,
    write_state,
)
from pipeline.orchestration.snapshots import take
from tests.pipeline.orchestration.projects import GATED, change, make_project, put_pictures

OLD: dict[str, Any] = {
    "started": "2026-05-04T02:00:00Z",
    "trigger": "new data",
    "snapshot": "f4ab2602e594",
    "former": 1,
    "new": 64,
    "steps": [{"name": "records", "state": "failed", "seconds": 6.2, "reason": "no room"}],
    "failure": ["no room", "interrupted", 75, True],
}
"""State file as an earlier version wrote it, with the failure as a list."""


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Project:
    put_pictures(tmp_path / "incoming", 0, 3)
    return make_project(tmp_path)


def begin(project: Project) -> Run:
    return begin_run(project, "r", snapshot=take(project).key, trigger="manual")


def test_the_configuration_holds_from_the_beginning_to_the_end(project: Project) -> None:
    preset = project.path / "own.yaml"
    preset.write_text("schedule: {resolution: 8, hold_images: 640}\n")
    project = change(
        project,
        preset="own.yaml",
        overrides=[*GATED],
        gate={"max_fid": 3.0},
        training={"workers": 2, "beam": "--runner=DirectRunner"},
        repository={"path": "elsewhere", "servers": ["http://127.0.0.1:9"], "keep": 3},
        notifications={"webhooks": ["https://example.org/hook"], "verdicts": ["failed"]},
    )
    run = begin(project)
    key, settings = run.plan.key, run.plan.config
    assert run.plan.settings == Plan(project, run.plan.snapshot).settings
    change(project, gate=None, overrides=["schedule.resolution=16"])
    preset.write_text("schedule: {hold_images: 8}\n")
    (project.path / PIPELINE).write_text("model: [half writ")
    again = find_run(project.path, "r")
    assert again is not None
    assert again.folder == run.folder
    assert (again.plan.key, again.plan.config) == (key, settings)
    assert again.plan.project == run.plan.project
    kept = again.plan.project.config
    assert kept.model_copy(update={"preset": "own.yaml"}) == project.config


def test_a_run_begins_after_the_one_before_it_whatever_the_clock_says(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_run(begin(project))
    [first] = history_of(project.path)
    monkeypatch.setattr(module, "now", lambda: first.started - timedelta(days=3))
    end_run(begin_run(project, "s", snapshot=take(project).key, trigger="manual"))
    runs = [outcome.run for outcome in history_of(project.path)]
    assert [run.rpartition("-")[2] for run in runs] == ["r", "s"]


def test_what_was_not_tested_was_not_promoted(project: Project) -> None:
    run = begin(project)
    run.plan.write_note("published", version=1, content_hash="c" * 64, run="runs/r")
    outcome = end_run(run)
    assert outcome.verdict == "failed"
    assert "its reason could not be recorded" in outcome.reason
    ended = run.plan.read_end()
    assert ended is not None
    assert not ended.final


def test_a_page_that_cannot_be_written_changes_nothing_about_the_end(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ending, "write_pages", full)
    run = begin(project)
    assert end_run(run, RunFailure(reason="so")).verdict == "failed"
    said = f"{run.folder.name}: a file could not be read or written: [Errno 28] No space left"
    assert (project.logs / "pages.log").read_text().startswith(said)
    shutil.rmtree(project.logs)
    project.logs.touch()
    assert end_run(run, RunFailure(reason="so")).verdict == "failed"


def test_ends_are_notified_and_problems_of_that_are_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Outcome] = []

    def notify(config: Any, outcome: Outcome) -> list[str]:
        told.append(outcome)
        return ["nobody listens"]

    monkeypatch.setattr(ending, "send_notifications", notify)
    run = begin(project)
    outcome = end_run(run, RunFailure(reason="no room"))
    assert told == [outcome]
    assert (outcome.verdict, outcome.reason) == ("failed", "no room")
    kept = (project.logs / "notifications.log").read_text()
    assert kept == f"{run.folder.name}: nobody listens\n"


def folder_with(project: Path, state: dict[str, Any]) -> Path:
    folder = project / "history" / "20260504-020000-r"
    folder.mkdir(parents=True)
    (folder / "course.json").write_text(json.dumps(state))
    return folder


NAMED = {"reason": "no room", "ending": "interrupted", "status": 75, "may_pass": True}


@pytest.mark.parametrize(("old", "new"), [(OLD["failure"], NAMED), (None, None)])
def test_a_state_of_an_earlier_version_is_read_and_written_with_names(
    tmp_path: Path, old: list[Any] | None, new: dict[str, Any] | None
) -> None:
    folder = folder_with(tmp_path, {**OLD, "failure": old})
    assert find_folder(tmp_path, "r") == folder
    state = read_state(folder)
    assert state.failure == (new and RunFailure.model_validate(new))
    write_state(folder, state)
    assert json.loads((folder / "course.json").read_text()) == {**OLD, "failure": new}
    assert read_state(folder) == state


def test_a_failure_of_another_form_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {**OLD, "failure": ["no room", "interrupted", 75]})
    with pytest.raises(ValidationError, match="failure"):
        read_state(folder)
