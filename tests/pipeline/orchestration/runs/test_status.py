"""How a project stands, at the edges of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pipeline.orchestration.project import Project, keep_settings
from pipeline.orchestration.runs.outcome import StepResult, history_folder
from pipeline.orchestration.runs.run import RunState, write_state
from pipeline.orchestration.runs.status import read_status
from pipeline.orchestration.steps.step import step_names
from savedmodels.locks import hold
from tests.pipeline.orchestration.projects import TINY, change, make_project


def begin(project: Project, *done: str) -> None:
    folder = history_folder(project.path, "20260504-now")
    folder.mkdir(parents=True, exist_ok=True)
    keep_settings(project, folder)
    steps = tuple(StepResult(name=name, state="done") for name in done)
    started = datetime(2026, 5, 4, 2, tzinfo=UTC)
    begun = RunState(
        started=started, trigger="manual", snapshot="5", former=None, new=3, steps=steps
    )
    write_state(folder, begun)


def test_a_run_is_under_way_while_its_process_lives(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    names = step_names(((8, 8),))
    with hold(project.run_lock):
        assert read_status(project).now is None  # It is about to begin.
        project.run_lock.write_text("now")
        assert read_status(project).now is None
        for number in range(len(names)):
            begin(project, *names[:number])
            now = read_status(project).now
            assert now is not None
            assert (now.run, now.step) == ("20260504-now", names[number])
        begin(project, *names[:3])
        # Its stages are those that it began with.
        now = read_status(change(project, overrides=[*TINY, "schedule.resolution=16"])).now
        assert now is not None
        assert now.step == "stage_8x8"
        # Another one holds the lock, and is about to begin.
        project.run_lock.write_text("next")
        assert read_status(project).now is None
        project.run_lock.write_text("now")
        begin(project, *names)
        now = read_status(project).now
        assert now is not None
        assert now.step is None
    assert read_status(project).now is None


def test_looking_keeps_nobody_from_starting(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert not read_status(project).up
    assert not project.up_lock.exists()
    with hold(project.up_lock, wait=False):
        assert read_status(project).up
    assert not read_status(project).up
    with hold(project.up_lock, wait=False):
        pass
