"""State of a run in progress: the file that holds it, and the names of its steps in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import field_validator

from pipeline.evaluation.scores import Record
from pipeline.orchestration.runs.failure import RunFailure
from pipeline.orchestration.runs.outcome import HISTORY, Moment, Step, Trigger
from pipeline.shape import Shape, shape_name
from savedmodels import atomic

# Projects hold files of this name, so it stays.
STATE = "course.json"
BEFORE = ("source_snapshot", "checked_data", "records")
AFTER = (*("trained_model", "evaluation", "gate", "savedmodel", "published_version", "smoke_test"),)


class RunState(Record):
    """State of a run: its beginning, and the results of its steps."""

    started: Moment
    """Time at which it began."""
    trigger: Trigger
    """Trigger that started it."""
    snapshot: str
    """Key of the snapshot."""
    former: int | None
    """Version that `stable` served when the run began."""
    new: int
    """Number of pictures that the run before did not have."""
    steps: tuple[Step, ...] = ()
    """Results of steps so far, in the order of time."""
    failure: RunFailure | None = None
    """Failure of the last step, None once a later attempt has succeeded."""

    @field_validator("failure", mode="before")
    @classmethod
    def _read_list(cls, value: Any) -> Any:
        # Runs that an earlier version began hold a list of the four values in this order.
        if isinstance(value, list):
            return dict(zip(RunFailure.model_fields, value, strict=True))
        return value


def step_names(stages: Sequence[Shape]) -> tuple[str, ...]:
    """Return the names of all steps, in order.

    Args:
        stages: Height and width of the images of each stage.
    """
    return (*BEFORE, *(f"stage_{shape_name(shape)}" for shape in stages), *AFTER)


def read_state(folder: Path) -> RunState:
    """Read the state of a run from its folder in the history."""
    return RunState.model_validate_json((folder / STATE).read_bytes())


def write_state(folder: Path, state: RunState) -> None:
    """Write the state of a run into its folder in the history, whole or not at all."""
    atomic.write_file(folder / STATE, state.model_dump_json(indent=2) + "\n")


def find_folder(project: Path, name: str) -> Path | None:
    """Find the folder in the history of a run that has begun, None if it has not.

    Args:
        project: Folder of the project.
        name: Name that the run keeps when it is repeated after a kill.
    """
    files = (project / HISTORY).glob(f"*-{name}/{STATE}")
    return next((file.parent for file in files), None)
