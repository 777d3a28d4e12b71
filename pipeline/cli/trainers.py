"""Start training in this process: as the chief, the one worker that writes, or as another."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline import exit_status
from pipeline.cli.console import say
from pipeline.cli.training_display import TrainingDisplay
from pipeline.config import Config
from pipeline.data.records import RecordSet
from pipeline.evaluation.in_training import FidInTraining
from pipeline.evaluation.rollback import RemoveEvaluations
from pipeline.training.loop.listeners import Listener
from pipeline.training.loop.recorders import JsonLines, SampleSheets, StageExports, TensorBoard
from pipeline.training.loop.trainer import Trainer
from pipeline.training.synthesis.task import Synthesis
from pipeline.training_run.folder import RunFolder

if TYPE_CHECKING:
    import tensorflow as tf


class ExitOnStarvation(Listener):
    """Listener (callback of the training loop) that exits on starvation if its action is `stop`."""

    def starved(self, seconds: float, *, stop: bool) -> None:
        """Print one line, and exit at once."""
        if stop:
            # Exit by force: the loop waits inside TensorFlow, where no exception reaches it.
            sys.stderr.write(
                f"growgan: alarm starvation: no batch has come for {seconds:.0f} s. The run is "
                "stopped; its last good checkpoint is kept\n"
            )
            sys.stderr.flush()  # `os._exit` does not.
            os._exit(exit_status.ALARM)


def train_as_chief(
    console: Console,
    run: RunFolder,
    settings: Config,
    records: RecordSet,
    strategy: tf.distribute.Strategy,
    watchers: Sequence[Listener],
    stop: Callable[[], bool],
) -> int:
    """Train until the end or a stop, and return the images seen."""

    def add_export(folder: Path) -> None:
        exports = run.manifest()["exports"]
        name = str(folder.relative_to(run.path))
        # Move an old entry to the end: the last entry is printed when the run ends.
        run.add_to_manifest(exports=[*(e for e in exports if e != name), name])

    def remove_export(folder: Path) -> None:
        name = str(folder.relative_to(run.path))
        run.add_to_manifest(exports=[e for e in run.manifest()["exports"] if e != name])

    with TrainingDisplay(console, settings) as display:
        listeners = [
            display,
            JsonLines(run.metrics),
            SampleSheets(run.samples, settings.schedule.resolution),
            TensorBoard(run.tensorboard, settings),
            StageExports(
                run.savedmodels,
                lambda moment: run.export_lineage(moment.images_seen, moment.roll_backs),
                add_export,
                remove_export,
            ),
            RemoveEvaluations(run),
            ExitOnStarvation(),
            *watchers,
        ]
        score = None
        if settings.evaluation.fid_every_images:
            score = FidInTraining(settings, records, lambda line: say(console, f"note: {line}"))
        task = Synthesis(settings, records, strategy)
        trainer = Trainer(settings, task, run.path, listeners, strategy, score)
        position = trainer.train(stop)
    run.add_to_manifest(images_seen=position.images_seen, seconds=round(trainer.seconds, 1))
    return position.images_seen


def train_as_worker(
    run: RunFolder,
    settings: Config,
    records: RecordSet,
    strategy: tf.distribute.Strategy,
    stop: Callable[[], bool],
) -> int:
    """Train a worker's share without writing anything, and return the images seen."""
    task = Synthesis(settings, records, strategy)
    # Workers write nothing, but must exit on starvation as the chief does.
    trainer = Trainer(settings, task, run.path, [ExitOnStarvation()], strategy)
    return trainer.train(stop).images_seen
