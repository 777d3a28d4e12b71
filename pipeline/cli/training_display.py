"""Progress of `growgan train`: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.cli.console import say
from pipeline.training.loop.listeners import Listener
from pipeline.training.preflight.remaining_time import RemainingTime

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.schedule import Phase
    from pipeline.training.alarms.monitor import Alarm
    from pipeline.training.loop.checkpoints import DamagedCheckpoint
    from pipeline.training.loop.listeners import Moment
    from pipeline.training.position import RollBack


class TrainingDisplay(Listener):
    """Listener that shows phase, alpha (fade-in weight), speed, time left and losses.

    Args:
        console: Console to write to; shows a bar if it is a terminal, else prints lines.
        config: Configuration of the run.
    """

    def __init__(self, console: Console, config: Config) -> None:
        self._console = console
        self._say = partial(say, console)
        self._remaining = RemainingTime(config)
        self._total = config.schedule.build().total_images
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=console,
            disable=not console.is_terminal,  # Else bars would fill a log.
        )
        self._task = self._progress.add_task("", total=self._total, numbers="")

    def __enter__(self) -> TrainingDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, images_seen: int, damaged: Sequence[DamagedCheckpoint]) -> None:
        """Print each damaged checkpoint that was skipped."""
        for each in damaged:
            self._say(
                f"checkpoint {each.folder} is damaged ({each.reason}) and put aside: "
                f"going on from {images_seen} images"
            )

    def phase_started(self, moment: Moment) -> None:
        """Show the phase's name."""
        name = moment.progress.phase.name
        self._progress.update(
            self._task, description=name, completed=moment.images_seen, numbers="preparing"
        )
        if not self._console.is_terminal:
            self._say(f"{name}: from {moment.images_seen} images on")

    def logged(self, moment: Moment) -> None:
        """Show images seen, speed, time left, alpha and losses."""
        losses = [
            f"{name.removesuffix('_loss')} {value:.3f}"
            for name, value in moment.metrics.items()
            if name.endswith("_loss")
        ]
        alpha = f"alpha {moment.progress.alpha:.2f}"
        numbers = self._speed(moment) + ", ".join([alpha, *losses])
        self._progress.update(self._task, completed=moment.images_seen, numbers=numbers)
        if not self._console.is_terminal:
            self._say(
                f"{moment.progress.phase.name}: {moment.images_seen}/{self._total} images, "
                f"{numbers}"
            )

    def saved(self, moment: Moment, folder: Path) -> None:
        """Print the checkpoint's folder, outside a terminal."""
        if not self._console.is_terminal:
            self._say(f"checkpoint {folder}")

    def alarmed(self, alarm: Alarm, images_seen: int, phase: Phase) -> None:
        """Print the alarm, once when it begins and once when it ends."""
        self._say(f"{alarm}, after {images_seen} images")

    def starved(self, seconds: float, *, stop: bool) -> None:
        """Print how long training has waited for a batch, if it keeps waiting."""
        if not stop:
            self._say(f"alarm starvation: no batch has come for {seconds:.0f} s; still waiting")

    def rolled_back(self, roll_back: RollBack) -> None:
        """Print the alarm, and the images seen before and after the roll back."""
        self._say(
            f"rolled back for alarm {roll_back.alarm}, from {roll_back.at} images to "
            f"{roll_back.to}: going on with other draws and a lower learning rate"
        )

    def _speed(self, moment: Moment) -> str:
        if not moment.images_per_second:  # Unknown in the first step, which includes compilation.
            return ""
        seconds = self._remaining.seconds(moment)
        left = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f"{moment.images_per_second:.0f} img/s, {left} left, "
