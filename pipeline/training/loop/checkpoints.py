"""Checkpoints on disk: whole or absent, checksummed, and kept by what the configuration asks."""

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
    """A finished checkpoint on disk.

    Args:
        folder: Folder with the variables, `state.json`, and `manifest.json`: size and SHA-256 of
            both.
        position: Position of the run.
        metrics: Metrics of the last step before it.
        former: Names of the metrics that were measured on the weights of an earlier step.
        seconds: Time spent training so far, over all restarts.
        alarms: Alarms that are raised, or may be about to be, by name.
    """

    folder: Path
    position: Position
    metrics: Mapping[str, float]
    former: tuple[str, ...] = ()
    seconds: float = 0.0
    alarms: Mapping[str, Streak] = field(default_factory=dict)

    def restore(self, variables: Mapping[str, Any]) -> None:
        """Assign saved values to these variables; more may be saved than are asked for.

        Raises:
            UserError: if the files are damaged, or a variable is missing or of another shape.
        """
        import tensorflow as tf  # Takes seconds, and to find a checkpoint needs none of it.

        # What it raises for damaged or missing files and for other shapes.
        unrestorable = (
            OSError,
            tf.errors.OpError,
            AssertionError,
            LookupError,
            RuntimeError,
            ValueError,
        )
        holder = tf.train.Checkpoint(variables=dict(variables))
        try:
            with literal(self.folder) as folder:
                status = holder.read(str(folder / _VARIABLES))
                status.assert_existing_objects_matched().expect_partial()
        except unrestorable as error:
            raise UserError(
                f"checkpoint {self.folder} cannot be restored: {_reason(error)}"
            ) from error


@dataclass(frozen=True)
class Damaged:
    """A checkpoint that is not as it was written.

    Args:
        folder: Folder where it was.
        reason: Reason why it does not count.
    """

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
    """Write a checkpoint under `run`; when this returns it is on the disk.

    Args:
        run: Folder of the run.
        variables: Everything that changes while a run trains, by a stable name.
        position: Position of the run.
        metrics: Metrics of the last step.
        former: Names of metrics that were measured on earlier weights.
        seconds: Time spent training so far.
        alarms: Alarms that are raised, or may be about to be.

    Raises:
        UserError: if it cannot be written, as on a full disk; earlier checkpoints stay.
    """
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
            files = {file.name: _described(file) for file in sorted(temporary.iterdir())}
            # No newline at the end: cut anywhere, it can be told.
            (temporary / _MANIFEST).write_text(json.dumps({"files": files}, indent=2))
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"checkpoint {folder} cannot be written: {_reason(error)}. Earlier ones are kept"
        ) from error
    return saved


def prune(
    run: Path, settings: RunConfig, faults: Collection[str] = (), fading: Collection[int] = ()
) -> None:
    """Remove the checkpoints that the configuration does not keep.

    Args:
        run: Its folder.
        settings: Numbers of checkpoints to keep.
        faults: Alarms for which the run may roll back.
        fading: Numbers of the phases in which a resolution fades in.

    Raises:
        UserError: if one cannot be removed.
    """
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
    """The checkpoints that are kept, of some in ascending order.

    They are the newest `keep_checkpoints`; the newest that a roll back may go to; the first of
    every `keep_every_images`; and, of the largest resolution that was held, the one whose metric
    `keep_best` is the least, or the greatest, the older of two that are equal.
    """
    kept = [*saved[-settings.keep_checkpoints :], *_quiet(saved, faults)[-1:]]
    if settings.keep_every_images is not None:
        firsts: dict[int, Checkpoint] = {}
        for checkpoint in saved:
            firsts.setdefault(
                checkpoint.position.images_seen // settings.keep_every_images, checkpoint
            )
        firsts.pop(0, None)
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
    """The first checkpoint at which a metric was least, or greatest; None if none has it.

    Those of the last phase that holds its resolution are looked at, or of the last phase at all:
    the FID of 4 px, or of images that are half faded in, is another quantity than that of 64 px.
    What was measured on earlier weights does not count.
    """
    sign = 1 if mode == "min" else -1
    known = [
        each
        for each in saved
        if metric not in each.former and math.isfinite(each.metrics.get(metric, math.nan))
    ]
    phases = {c.position.phase for c in known}
    last = max(phases.difference(fading) or phases, default=None)
    compared = [c for c in known if c.position.phase == last]
    return min(compared, key=lambda checkpoint: sign * checkpoint.metrics[metric], default=None)


def all_in(run: Path) -> list[Checkpoint]:
    """Every checkpoint of a run whose state can be read, oldest first; none is verified."""
    return [found for found in map(_read, _folders(run)) if isinstance(found, Checkpoint)]


def newest(run: Path) -> tuple[Checkpoint | None, list[Damaged]]:
    """The newest checkpoint that is as it was written, and the damaged ones that are newer.

    Raises:
        UserError: if there are checkpoints and every one is damaged.
    """
    damaged: list[Damaged] = []
    for folder in reversed(_folders(run)):
        found = _read(folder, verify=True)
        if isinstance(found, Checkpoint):
            return found, damaged
        damaged.append(found)
    if damaged:
        raise UserError(
            "a run goes on from a checkpoint that is whole. Received: "
            + "; ".join(f"{each.folder}: {each.reason}" for each in damaged)
        )
    return None, []


def put_aside(damaged: Damaged) -> None:
    """Rename a damaged checkpoint to `damaged-…`: kept to be looked at, and never counted again."""
    _rename(damaged.folder, _DAMAGED)


def roll_back(run: Path, faults: Collection[str]) -> int:
    """Go back to the newest checkpoint from before these alarms stood or may have been about to.

    Newer ones are renamed to `rolled-back-…`: kept to be looked at, and never counted again.

    Args:
        run: Its folder.
        faults: Alarms for which it may roll back.

    Returns:
        Its images seen, 0 without one: then the run starts over.
    """
    to = max((each.position.images_seen for each in _quiet(all_in(run), faults)), default=0)
    # The newest first: a kill in between leaves a run that comes to the same alarm again.
    for folder in reversed(_folders(run)):
        if _images_of(folder) > to:
            _rename(folder, _ROLLED_BACK)
    return to


def _quiet(saved: Sequence[Checkpoint], faults: Collection[str]) -> list[Checkpoint]:
    return [each for each in saved if not each.alarms.keys() & set(faults)]


def _rename(folder: Path, prefix: str) -> None:
    target = folder.with_name(prefix + folder.name)
    if target.exists():
        atomic.remove_folder(target)
    os.rename(folder, target)
    atomic.sync(target.parent)


def _folders(run: Path) -> list[Path]:
    # By number: from a thousand million images on, names are not in the order of their numbers.
    named = re.compile(rf"{_PREFIX}\d+")
    folders = [path for path in (run / FOLDER).glob("*") if named.fullmatch(path.name)]
    return sorted(folders, key=_images_of)


def _images_of(folder: Path) -> int:
    return int(folder.name.removeprefix(_PREFIX))


def _read(folder: Path, *, verify: bool = False) -> Checkpoint | Damaged:
    try:
        if verify:
            files = json.loads((folder / _MANIFEST).read_text())["files"]
            for name in sorted({_STATE, *files}):
                if _described(folder / name) != files[name]:
                    return Damaged(folder, f"{name} is not what was written")
        return _of_state(folder, json.loads((folder / _STATE).read_text()))
    except OSError as error:
        return Damaged(folder, f"{Path(error.filename or folder).name}: {error.strerror}")
    except (ValueError, LookupError, TypeError, AttributeError):
        return Damaged(folder, f"{_MANIFEST} or {_STATE} is not what was written")


def _state_of(saved: Checkpoint) -> dict[str, Any]:
    state = asdict(saved)
    del state["folder"]
    return {**state.pop("position"), **state}


def _of_state(folder: Path, state: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        folder,
        Position.of_state(state),
        dict(state["metrics"]),
        tuple(state.get("former", ())),
        float(state["seconds"]),
        {name: Streak(**each) for name, each in state.get("alarms", {}).items()},
    )


def _described(file: Path) -> dict[str, int | str]:
    return {"bytes": file.stat().st_size, "sha256": checksum(file)}


def _reason(error: Exception) -> str:
    """The first line of an error, without TensorFlow's names for the place in its graph."""
    return re.sub(r"\{\{.*?\}\} ?| ?\[Op:.*?\]", "", str(error).splitlines()[0])
