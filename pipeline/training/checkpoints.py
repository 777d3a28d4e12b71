"""Checkpoints on disk: whole or absent, the newest few kept."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline.errors import UserError
from savedmodels import atomic

FOLDER = "checkpoints"
_STATE = "state.json"
_VARIABLES = "variables"


@dataclass(frozen=True)
class Position:
    """Where a run stands.

    Args:
        images_seen: The run's clock.
        phase: Index of the phase whose variables are saved.
        seconds: Time spent training so far, over all restarts.
    """

    images_seen: int
    phase: int
    seconds: float


@dataclass(frozen=True)
class Checkpoint:
    """A finished checkpoint on disk."""

    folder: Path
    position: Position

    def restore(self, variables: Mapping[str, Any]) -> None:
        """Assign saved values to these variables; more may be saved than are asked for.

        Raises:
            UserError: if the files are damaged, or a variable is missing or of another shape.
        """
        holder = tf.train.Checkpoint(variables=dict(variables))
        try:
            status = holder.read(str(self.folder / _VARIABLES))
            status.assert_existing_objects_matched().expect_partial()
        # TensorFlow raises any of these for damaged or missing files and for other shapes.
        except (tf.errors.OpError, AssertionError, LookupError, RuntimeError, ValueError) as error:
            raise UserError(
                f"checkpoint {self.folder} cannot be restored: {_reason(error)}"
            ) from error


def save(run: Path, variables: Mapping[str, Any], position: Position, *, keep: int) -> Checkpoint:
    """Write a checkpoint under `run`, then remove all but the newest `keep`.

    Raises:
        UserError: if it cannot be written, as on a full disk; earlier checkpoints stay.
    """
    folder = run / FOLDER / f"images-{position.images_seen:09d}"
    try:
        if folder.exists():  # Of a run that went back to an older one: the new one counts.
            shutil.rmtree(folder)
        with atomic.new_folder(folder) as temporary:
            holder = tf.train.Checkpoint(variables=dict(variables))
            holder.write(str(temporary / _VARIABLES))
            (temporary / _STATE).write_text(json.dumps(asdict(position)) + "\n")
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"checkpoint {folder} cannot be written: {_reason(error)}. Earlier ones are kept"
        ) from error
    for old in all_in(run)[:-keep]:
        shutil.rmtree(old.folder)
    return Checkpoint(folder, position)


def _reason(error: Exception) -> str:
    """The first line of an error, without TensorFlow's names for the place in its graph."""
    return re.sub(r"\{\{.*?\}\} ?| ?\[Op:.*?\]", "", str(error).splitlines()[0])


def all_in(run: Path) -> list[Checkpoint]:
    """Every finished checkpoint of a run, oldest first."""
    folders = sorted((run / FOLDER).glob("images-*"))
    return [
        Checkpoint(folder, Position(**json.loads((folder / _STATE).read_text())))
        for folder in folders
    ]
