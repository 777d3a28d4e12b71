"""Checkpoints on disk: written atomically, checksummed, and pruned as configured."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pipeline.config import RunConfig
from pipeline.errors import UserError
from pipeline.training.alarms.thresholds import Streak
from pipeline.training.position import Position
from savedmodels import atomic
from savedmodels.checksum import checksum
from savedmodels.literal_path import literal

FOLDER = "checkpoints"
_PREFIX = "images-"
_DAMAGED = "damaged-"
_ROLLED_BACK = "rolled-back-"
_STATE = "state.json"
_MANIFEST = "manifest.json"
_VARIABLES = "variables"


@dataclass(frozen=True)
class Checkpoint:
    """Finished checkpoint on disk."""

    folder: Path
    """Folder with the variables, `state.json`, and `manifest.json` (size and SHA-256 of each)."""
    position: Position  # Position of the run
    metrics: Mapping[str, float]
    """Metrics of the last step, and the newest rarely measured ones such as FID."""
    former: tuple[str, ...] = ()
    """Names of metrics that were measured on the weights of an earlier step."""
    seconds: float = 0.0  # Seconds of training so far, over all restarts
    alarms: Mapping[str, Streak] = field(default_factory=dict)
    """States of alarms that are raised or had a bad newest reading, by name."""

    def restore(self, variables: Mapping[str, Any]) -> None:
        """Assign saved values to variables; the checkpoint may hold others too."""
        import tensorflow as tf  # Takes seconds, and finding a checkpoint does not need it.

        # All errors that TensorFlow raises for damaged or missing files and for wrong shapes.
        unrestorable = (
            OSError,
            tf.errors.OpError,
            AssertionError,
            LookupError,
            RuntimeError,
            ValueError,
        )
        # Pass a flat dictionary: from a model, TensorFlow silently skips layers held in lists.
        holder = tf.train.Checkpoint(variables=dict(variables))
        try:
            # TensorFlow reads a checkpoint's path as a glob pattern.
            with literal(self.folder) as folder:
                status = holder.read(str(folder / _VARIABLES))
                # Allow further values in the file: an export restores the generator only.
                status.assert_existing_objects_matched().expect_partial()
        except unrestorable as error:
            raise UserError(
                f"checkpoint {self.folder} cannot be restored: {_reason(error)}"
            ) from error


@dataclass(frozen=True)
class DamagedCheckpoint:
    """Checkpoint whose files are not as they were written, with the reason."""

    folder: Path
    reason: str


def save(
    run: Path,
    variables: Mapping[str, Any],
    position: Position,
    metrics: Mapping[str, float],
    former: Iterable[str] = (),
    *,
    seconds: float = 0.0,
    alarms: Mapping[str, Streak] = MappingProxyType({}),
) -> Checkpoint:
    """Write a checkpoint under `run`; when it returns, the checkpoint is on disk."""
    import tensorflow as tf

    folder = run / FOLDER / f"{_PREFIX}{position.images_seen:09d}"
    saved = Checkpoint(
        folder, position, dict(metrics), tuple(sorted(former)), seconds, dict(alarms)
    )
    try:
        with atomic.new_folder(folder) as temporary:
            holder = tf.train.Checkpoint(variables=dict(variables))
            holder.write(str(temporary / _VARIABLES))
            (temporary / _STATE).write_text(json.dumps(_state_of(saved), indent=2) + "\n")
            files = {file.name: _describe_file(file) for file in sorted(temporary.iterdir())}
            # No newline at the end: cutting the file anywhere then leaves invalid JSON.
            (temporary / _MANIFEST).write_text(json.dumps({"files": files}, indent=2))
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"checkpoint {folder} cannot be written: {_reason(error)}. Earlier ones are kept"
        ) from error
    return saved


def prune(
    run: Path, settings: RunConfig, faults: Collection[str] = (), fading: Collection[int] = ()
) -> None:
    """Remove all checkpoints but those of `kept_of`."""
    saved = all_in(run)
    kept = {checkpoint.folder for checkpoint in kept_of(saved, settings, faults, fading)}
    for checkpoint in saved:
        if checkpoint.folder not in kept:
            try:
                atomic.remove_folder(checkpoint.folder)
            except OSError as error:
                raise UserError(
                    f"checkpoint {checkpoint.folder} cannot be removed: {_reason(error)}"
                ) from error


def kept_of(
    saved: Sequence[Checkpoint],
    settings: RunConfig,
    faults: Collection[str] = (),
    fading: Collection[int] = (),
) -> list[Checkpoint]:
    """Choose the checkpoints to keep.

    Args:
        saved: All checkpoints, oldest first.
        settings: Configuration, whose keys `keep_…` decide.
        faults: Names of alarms whose action is to roll back.
        fading: Indices of the phases that fade in a resolution.
    """
    # Keep the newest without these alarms as well: a roll back returns to it.
    kept = [*saved[-settings.keep_checkpoints :], *_without_alarms(saved, faults)[-1:]]
    if settings.keep_every_images is not None:
        firsts: dict[int, Checkpoint] = {}
        for checkpoint in saved:
            firsts.setdefault(
                checkpoint.position.images_seen // settings.keep_every_images, checkpoint
            )
        firsts.pop(0, None)  # Those before the first multiple do not count.
        kept += firsts.values()
    if settings.keep_best is not None:
        best = best_of(saved, settings.keep_best, settings.keep_best_mode, fading)
        kept += [best] if best else []
    return [checkpoint for checkpoint in saved if checkpoint in kept]


def best_of(
    saved: Sequence[Checkpoint],
    metric: str,
    mode: Literal["min", "max"],
    fading: Collection[int] = (),
) -> Checkpoint | None:
    """Find the first checkpoint with the smallest or largest value of a metric; None without any.

    Only checkpoints of the last phase outside `fading` count; of the last phase, if all are in it.
    """
    sign = 1 if mode == "min" else -1
    # Skip values that were measured on earlier weights than the saved ones.
    known = [
        each
        for each in saved
        if metric not in each.former and math.isfinite(each.metrics.get(metric, math.nan))
    ]
    # The FID at 4 px, or of images half faded in, cannot be compared with the FID at 64 px.
    phases = {c.position.phase for c in known}
    last = max(phases.difference(fading) or phases, default=None)
    compared = [c for c in known if c.position.phase == last]
    return min(compared, key=lambda checkpoint: sign * checkpoint.metrics[metric], default=None)


def all_in(run: Path) -> list[Checkpoint]:
    """List the checkpoints of a run with a readable state, oldest first, without verifying them."""
    return [found for found in map(_read, _folders(run)) if isinstance(found, Checkpoint)]


def newest(run: Path) -> tuple[Checkpoint | None, list[DamagedCheckpoint]]:
    """Find the newest undamaged checkpoint, and the damaged ones that are newer."""
    damaged: list[DamagedCheckpoint] = []
    for folder in reversed(_folders(run)):
        found = _read(folder, verify=True)
        if isinstance(found, Checkpoint):
            return found, damaged
        damaged.append(found)
    if damaged:
        raise _damage("the run cannot resume, because all its checkpoints are damaged", damaged)
    return None, []


def put_aside(damaged: DamagedCheckpoint) -> None:
    """Rename a damaged checkpoint to `damaged-…`, where it is kept but no longer counts."""
    _rename(damaged.folder, _DAMAGED)


def roll_back(run: Path, faults: Collection[str]) -> int:
    """Roll back to the newest undamaged checkpoint whose `alarms` have none of `faults`.

    Newer checkpoints are renamed to `rolled-back-…`, where they are kept but no longer count.

    Returns:
        Images seen at that checkpoint; 0 if there is none, and the run starts over.

    Raises:
        UserError: if the run would start over only because checkpoints are damaged.
    """
    to, damaged = 0, []
    # Stop at the first good one: verifying reads whole files.
    for folder in reversed(_folders(run)):
        found = _read(folder, verify=True)
        if isinstance(found, DamagedCheckpoint):
            damaged.append(found)
        elif _without_alarms([found], faults):
            to = found.position.images_seen
            break
    if damaged and not to:
        raise _damage("the run cannot roll back, because only damaged checkpoints remain", damaged)
    # Rename the newest first: a run killed in between resumes and meets the same alarm again.
    for folder in reversed(_folders(run)):
        if _images_of(folder) > to:
            _rename(folder, _ROLLED_BACK)
    return to


def _damage(message: str, damaged: Sequence[DamagedCheckpoint]) -> UserError:
    which = "; ".join(f"{each.folder}: {each.reason}" for each in damaged)
    return UserError(f"{message}. Received: {which}")


def _without_alarms(saved: Sequence[Checkpoint], faults: Collection[str]) -> list[Checkpoint]:
    return [each for each in saved if not each.alarms.keys() & set(faults)]


def _rename(folder: Path, prefix: str) -> None:
    target = folder.with_name(prefix + folder.name)
    if target.exists():
        atomic.remove_folder(target)
    os.rename(folder, target)
    atomic.sync(target.parent)


def _folders(run: Path) -> list[Path]:
    # Sort by number, not by name: from 10⁹ images on, names have more than nine digits.
    pattern = re.compile(rf"{_PREFIX}\d+")
    folders = [path for path in (run / FOLDER).glob("*") if pattern.fullmatch(path.name)]
    return sorted(folders, key=_images_of)


def _images_of(folder: Path) -> int:
    return int(folder.name.removeprefix(_PREFIX))


def _read(folder: Path, *, verify: bool = False) -> Checkpoint | DamagedCheckpoint:
    try:
        if verify:
            # Require the state, even if it is not listed: an empty manifest must not pass.
            files = json.loads((folder / _MANIFEST).read_text())["files"]
            for name in sorted({_STATE, *files}):
                if _describe_file(folder / name) != files[name]:
                    return DamagedCheckpoint(folder, f"{name} is not what was written")
        return _of_state(folder, json.loads((folder / _STATE).read_text()))
    except OSError as error:
        return DamagedCheckpoint(folder, f"{Path(error.filename or folder).name}: {error.strerror}")
    except (ValueError, LookupError, TypeError, AttributeError):
        return DamagedCheckpoint(folder, f"{_MANIFEST} or {_STATE} is not what was written")


def _state_of(saved: Checkpoint) -> dict[str, Any]:
    state = asdict(saved)
    # Keep the flat layout of earlier versions. Leave out the folder, which may be moved.
    del state["folder"]
    return {**state.pop("position"), **state}


def _of_state(folder: Path, state: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        folder,
        Position.of_state(state),
        dict(state["metrics"]),
        tuple(state.get("former", ())),  # Earlier versions wrote neither `former` nor `alarms`.
        float(state["seconds"]),
        {name: Streak(**each) for name, each in state.get("alarms", {}).items()},
    )


def _describe_file(file: Path) -> dict[str, int | str]:
    return {"bytes": file.stat().st_size, "sha256": checksum(file)}


def _reason(error: Exception) -> str:
    """First line of an error, without TensorFlow's names of graph nodes."""
    return re.sub(r"\{\{.*?\}\} ?| ?\[Op:.*?\]", "", str(error).splitlines()[0])
