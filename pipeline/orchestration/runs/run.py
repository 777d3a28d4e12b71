"""Run of the whole pipeline, over all its restarts: class `Run`, and the file with its state.

The training within it is `plan.run`. docs/pipeline.md says what a pipeline run does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import field_validator

from pipeline.evaluation.scores import JsonRecord
from pipeline.orchestration.new_pictures import former_pictures
from pipeline.orchestration.plan import Plan, plan_of
from pipeline.orchestration.project import PIPELINE, Project, keep_settings, open_project
from pipeline.orchestration.runs.failure import RunFailure, failure_of
from pipeline.orchestration.runs.outcome import (
    HISTORY,
    StepResult,
    StepState,
    Trigger,
    UtcTime,
    history_of,
    now,
)
from pipeline.orchestration.steps.step import Done
from savedmodels import atomic

STATE = "course.json"  # Not renamed, because existing projects have files of this name.


class RunState(JsonRecord):
    """State of a run: its beginning, and the results of its steps."""

    started: UtcTime
    trigger: Trigger
    snapshot: str
    """Key of the snapshot, the pictures that this run uses, in `snapshots/<key>`."""
    former: int | None
    """Version that `stable` pointed to when the run began; the outcome's `previous_version`."""
    new: int
    """Number of new pictures since the last run, or, if it failed and some of its pictures are
    gone, since the last one that succeeded."""
    steps: tuple[StepResult, ...] = ()
    """Results of the steps so far, in the order in which they last ended."""
    failure: RunFailure | None = None
    """Last failure of the run or of a step; None without one, or once a retry succeeded."""

    @field_validator("failure", mode="before")
    @classmethod
    def _read_list(cls, value: Any) -> Any:
        # Earlier versions wrote a list of the four values, in the order of `RunFailure`.
        if isinstance(value, list):
            return dict(zip(RunFailure.model_fields, value, strict=True))
        return value


@dataclass(frozen=True)
class Run:
    """Started run of the pipeline, which stays the same run through kills and restarts."""

    plan: Plan
    folder: Path  # Folder of the run in the history.

    @property
    def state(self) -> RunState:
        """State of the run, as its file holds it now."""
        # Read the file each time: another process may have changed it.
        return read_state(self.folder)

    def update(self, **changes: Any) -> None:
        """Change fields of the state in the file."""
        write_state(self.folder, self.state.model_copy(update=changes))

    def perform(self, name: str, work: Callable[[], Done]) -> Done:
        """Run a step and record its result; record a failure and raise it again."""
        began = time.monotonic()

        def record(state: StepState, reason: str, failure: RunFailure | None = None) -> None:
            seconds = round(time.monotonic() - began, 1)
            result = StepResult(name=name, state=state, seconds=seconds, reason=reason)
            others = (each for each in self.state.steps if each.name != name)
            # Replace the result of an earlier attempt. A success also clears `failure`.
            self.update(steps=(*others, result), failure=failure)

        try:
            done = work()
        except BaseException as error:  # A signal raises too.
            failure = failure_of(error)
            record("failed", failure.reason, failure)
            raise
        record("done" if done.new else "unchanged", done.note)
        return done


def read_state(folder: Path) -> RunState:
    """Read the state of a run from its folder in the history."""
    return RunState.model_validate_json((folder / STATE).read_bytes())


def write_state(folder: Path, state: RunState) -> None:
    """Write the state of a run atomically into its folder in the history."""
    atomic.write_file(folder / STATE, state.model_dump_json(indent=2) + "\n")


def find_folder(project_folder: Path, name: str) -> Path | None:
    """Find the folder of a run in `history/`; None if no run of this name has started."""
    files = (project_folder / HISTORY).glob(f"*-{name}/{STATE}")
    return next((file.parent for file in files), None)


def find_run(project_folder: Path, name: str) -> Run | None:
    """Find a run by name, with the configuration it started with; None if it has not started.

    Raises:
        UserError: if the snapshot or the configuration is no longer there.
    """
    folder = find_folder(project_folder, name)
    if folder is None:
        return None
    kept = open_project(project_folder, folder / PIPELINE)
    return Run(plan_of(kept, read_state(folder).snapshot), folder)


def begin_run(project: Project, name: str, *, snapshot: str, trigger: Trigger) -> Run:
    """Start a run on a snapshot; if one of this name has started, return that one."""
    if begun := find_run(project.path, name):
        return begun
    plan, started, history = plan_of(project, snapshot), now(), history_of(project.path)
    if history:
        # Start times order the history and the count of new pictures, so they must increase even
        # if the computer's clock is set back.
        started = max(started, history[-1].started + timedelta(seconds=1))
    folder = project.path / HISTORY / f"{started:%Y%m%d-%H%M%S}-{name}"
    atomic.make_folder(folder)
    # The run keeps these settings to its end, even if `pipeline.yaml` changes.
    keep_settings(project, folder)
    # Write the state last: a folder without one is ignored after a kill.
    state = RunState(
        started=started,
        trigger=trigger,
        snapshot=snapshot,
        former=project.stable_version,
        new=former_pictures(project).new_in(plan.snapshot),
    )
    write_state(folder, state)
    return Run(plan_of(open_project(project.path, folder / PIPELINE), snapshot), folder)
