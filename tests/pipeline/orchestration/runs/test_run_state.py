"""State files of runs: those of this version, and those of runs that an earlier one began."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.orchestration.runs.failure import RunFailure
from pipeline.orchestration.runs.run_state import find_folder, read_state, write_state

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
FAILURE = RunFailure(reason="no room", ending="interrupted", status=75, may_pass=True)


def folder_with(project: Path, state: dict[str, Any]) -> Path:
    folder = project / "history" / "20260504-020000-r"
    folder.mkdir(parents=True)
    (folder / "course.json").write_text(json.dumps(state))
    return folder


def test_a_state_of_an_earlier_version_is_read_and_written_with_names(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, OLD)
    assert find_folder(tmp_path, "r") == folder
    state = read_state(folder)
    assert state.failure == FAILURE
    write_state(folder, state)
    names = {"reason": "no room", "ending": "interrupted", "status": 75, "may_pass": True}
    assert json.loads((folder / "course.json").read_text()) == {**OLD, "failure": names}
    assert read_state(folder) == state


def test_a_state_without_a_failure_is_as_it_was(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {**OLD, "failure": None})
    state = read_state(folder)
    write_state(folder, state)
    assert json.loads((folder / "course.json").read_text()) == {**OLD, "failure": None}


def test_a_failure_of_another_form_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {**OLD, "failure": ["no room", "interrupted", 75]})
    with pytest.raises(ValidationError, match="failure"):
        read_state(folder)
