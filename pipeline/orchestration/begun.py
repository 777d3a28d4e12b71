"""State of a run that has begun: the file that holds it, in the order of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.evaluation.scores import Record
from pipeline.orchestration.outcome import HISTORY, Ending, Moment, Step, Trigger
from pipeline.shape import Shape, shape_name
from savedmodels import atomic

COURSE = "course.json"
BEFORE = ("source_snapshot", "checked_data", "records")
AFTER = (*("trained_model", "evaluation", "gate", "savedmodel", "published_version", "smoke_test"),)


class Begun(Record):
    """State of a run: its beginning, and the results of its steps."""

    started: Moment
    """When it began."""
    trigger: Trigger
    """What it was started by."""
    snapshot: str
    """Key of the pictures."""
    former: int | None
    """The version that `stable` stood at."""
    new: int
    """How many pictures the run before did not have."""
    steps: tuple[Step, ...] = ()
    """What came of steps so far, in the order of time."""
    failure: tuple[str, Ending, int, bool] | None = None
    """Reason, ending and exit status of what failed, and whether it may pass."""


def names_of(stages: Sequence[Shape]) -> tuple[str, ...]:
    """The names of all steps, in order.

    Args:
        stages: Height and width of the images of each stage.
    """
    return (*BEFORE, *(f"stage_{shape_name(shape)}" for shape in stages), *AFTER)


def read_begun(folder: Path) -> Begun:
    """Read the state of a run from its folder in the history."""
    return Begun.model_validate_json((folder / COURSE).read_bytes())


def write_begun(folder: Path, begun: Begun) -> None:
    """Write it, whole or not at all."""
    atomic.write_file(folder / COURSE, begun.model_dump_json(indent=2) + "\n")


def folder_begun(project: Path, run: str) -> Path | None:
    """The folder in the history of a run that has begun, None if it has not.

    Args:
        project: Folder of the project.
        run: Name that the run keeps when it is repeated after a kill.
    """
    files = (project / HISTORY).glob(f"*-{run}/{COURSE}")
    return next((file.parent for file in files), None)
