"""Listeners that record a run in its folder: metrics, TensorBoard, sample sheets, SavedModels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from pipeline.config import Config
from pipeline.data.grids import tile, write_png
from pipeline.schedule import Phase
from pipeline.shape import shape_name
from pipeline.training.alarms.monitor import Alarm
from pipeline.training.loop.checkpoints import DamagedCheckpoint
from pipeline.training.loop.listeners import Listener, Moment
from pipeline.training.position import RollBack
from savedmodels import atomic
from savedmodels.export import export

COLUMNS = 8  # Images per row of a sheet.
_RECORD_FRAME = 16  # Bytes of a TFRecord besides its content: a length and two checksums.


def scalars_of(moment: Moment) -> dict[str, float]:
    """Collect the numbers of a log entry, by name."""
    return {
        **moment.metrics,
        "alpha": moment.progress.alpha,
        "resolution": float(moment.progress.phase.resolution),
        "learning_rate": moment.progress.phase.learning_rate,
        "images_per_second": moment.images_per_second,
        "data_wait": moment.data_wait,
        "seconds": moment.seconds,
        **({"roll_backs": float(len(moment.roll_backs))} if moment.roll_backs else {}),
    }


class JsonLines(Listener):
    """Writer of `metrics.jsonl`: one JSON object per line, ascending in `images_seen`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def started(self, images_seen: int, damaged: Sequence[DamagedCheckpoint]) -> None:
        """Remove lines after the checkpoint; training writes them again."""
        if self._path.exists():
            lines = self._path.read_bytes().decode(errors="replace").splitlines()
            kept = [line for line in lines if _images_of(line) <= images_seen]
            atomic.write_file(self._path, "".join(f"{line}\n" for line in kept))

    def logged(self, moment: Moment) -> None:
        """Append a line with the metrics."""
        entry: dict[str, Any] = {
            "images_seen": moment.images_seen,
            "phase": moment.progress.phase.name,
            **scalars_of(moment),
        }
        if moment.roll_backs:
            entry["rolled_back"] = asdict(moment.roll_backs[-1])
        self._append(entry)

    def alarmed(self, alarm: Alarm, images_seen: int, phase: Phase) -> None:
        """Append a line with the key `alarm` and no metrics."""
        details = {"alarm": alarm.name, **asdict(alarm)}
        del details["name"]
        self._append({"images_seen": images_seen, "phase": phase.name, **details})

    def _append(self, entry: Mapping[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def _images_of(line: str) -> float:
    try:
        return float(json.loads(line)["images_seen"])
    except (ValueError, KeyError, TypeError):  # A kill cut the line: infinity drops it.
        return float("inf")


def sheet_of(moment: Moment, size: int) -> Any:
    """Tile samples, eight per row, each enlarged to `size` pixels, at least 32."""
    return tile(moment.samples, columns=COLUMNS, size=max(size, 32))


class SampleSheets(Listener):
    """Writer of `samples/images-….png`: sheets of sample images, from the same inputs each time."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size

    def sampled(self, moment: Moment) -> None:
        """Write a sheet of samples."""
        path = self._folder / f"images-{moment.images_seen:09d}.png"
        write_png(path, sheet_of(moment, self._size))

    def rolled_back(self, roll_back: RollBack) -> None:
        """Remove sheets after the checkpoint; training writes different ones."""
        for sheet in self._folder.glob("images-*.png"):
            if int(sheet.stem.removeprefix("images-")) > roll_back.to:
                sheet.unlink()


class TensorBoard(Listener):
    """Writer of TensorBoard events: numbers, sample sheets, reals, the configuration as text."""

    def __init__(self, folder: Path, config: Config) -> None:
        self._folder = folder
        self._config = config
        self._size = config.schedule.resolution
        self._writer: Any = None
        self._new_phase: Moment | None = None
        self._starts = config.schedule.build().starts
        self._earlier_reals: list[int] = []
        """Steps, in images seen, at which event files from before a restart have reals."""

    def started(self, images_seen: int, damaged: Sequence[DamagedCheckpoint]) -> None:
        """Cut event files after the checkpoint, and open a new file."""
        if self._writer is not None:  # A roll back starts the run again in this process.
            self._writer.close()
        files = self._folder.glob("*tfevents*")
        self._earlier_reals = [step for file in files for step in _cut_events(file, images_seen)]
        self._writer = tf.summary.create_file_writer(str(self._folder))

    def phase_started(self, moment: Moment) -> None:
        """Plan to write the configuration and reals of the new size with the next log entry."""
        # Do not write them now: they would have the step of a checkpoint, and survive a roll back
        # to it. If the phase resumes, earlier files already have them.
        start = self._starts[moment.progress.index]
        self._new_phase = None if any(step > start for step in self._earlier_reals) else moment

    def logged(self, moment: Moment) -> None:
        """Write every number; once per phase, also the configuration and reals."""
        with self._writer.as_default(step=moment.images_seen):
            if self._new_phase is not None:
                text = json.dumps(self._config.model_dump(mode="json"), indent=2)
                tf.summary.text("config", f"```\n{text}\n```")
                examples = self._new_phase.task.examples(self._new_phase.images_seen)
                tf.summary.image("reals", tile(examples, columns=COLUMNS)[np.newaxis])
                self._new_phase = None
            for name, value in scalars_of(moment).items():
                tf.summary.scalar(name, value)
            for name, raised in moment.alarms.items():
                tf.summary.scalar(f"alarms/{name}", float(raised))
        # Flush now: a kill after the next checkpoint would lose buffered events for good.
        self._writer.flush()

    def alarmed(self, alarm: Alarm, images_seen: int, phase: Phase) -> None:
        """Write the alarm as text."""
        with self._writer.as_default(step=images_seen):
            tf.summary.text("alarms", str(alarm))
        self._writer.flush()

    def sampled(self, moment: Moment) -> None:
        """Write a sheet of samples."""
        with self._writer.as_default(step=moment.images_seen):
            tf.summary.image("samples", sheet_of(moment, self._size)[np.newaxis])
        self._writer.flush()


def _cut_events(file: Path, images_seen: int) -> list[int]:
    """Cut an event file, which is ordered by step, after a number of images seen.

    Returns:
        Steps of the remaining events that have reals.
    """
    # TensorBoard has an event that marks a restart, but its `EventAccumulator` ignores it for all
    # events that TensorFlow 2 writes.
    end, reals = 0, []
    for content in RawEventFileLoader(str(file)).Load():
        event = Event.FromString(content)
        if event.step > images_seen:
            break
        end += len(content) + _RECORD_FRAME
        reals += [event.step for value in event.summary.value if value.tag == "reals"]
    os.truncate(file, end)
    return reals


class StageExports(Listener):
    """Exporter of the EMA generator as a SavedModel, at the end of each stage (resolution).

    Args:
        folder: Folder for exports, `<height>x<width>/<images seen>`.
        lineage: Function that returns the origin of the weights, for the manifest of an export.
        exported: Function to call with the folder of each new export.
        withdrawn: Function to call with the folder of an export before a roll back removes it.
    """

    def __init__(
        self,
        folder: Path,
        lineage: Callable[[Moment], Mapping[str, Any]],
        exported: Callable[[Path], None],
        withdrawn: Callable[[Path], None],
    ) -> None:
        self._folder = folder
        self._lineage = lineage
        self._exported = exported
        self._withdrawn = withdrawn

    def stage_ended(self, moment: Moment) -> None:
        """Export the EMA generator."""
        base = self._folder / shape_name(moment.progress.phase.shape)
        models, lineage = moment.task.exportable, self._lineage(moment)
        self._exported(export(models, base, moment.images_seen, lineage=lineage))

    def rolled_back(self, roll_back: RollBack) -> None:
        """Remove exports after the checkpoint; training makes different ones."""
        for folder in self._folder.glob("*/*"):
            if folder.name.isdigit() and int(folder.name) > roll_back.to:
                # Withdraw first: after a kill in between, nothing refers to a removed folder.
                self._withdrawn(folder)
                atomic.remove_folder(folder)
