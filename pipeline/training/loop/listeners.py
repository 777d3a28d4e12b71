"""Listeners of a run, and the moments that they see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.schedule import Phase, Progress
from pipeline.training.alarms.monitor import Alarm
from pipeline.training.loop.checkpoints import Damaged
from pipeline.training.position import Position, RollBack

if TYPE_CHECKING:
    from pipeline.training.loop.task import PhaseTask, Pictures


@dataclass(frozen=True)
class Moment:
    """Snapshot of a run that listeners get.

    Args:
        position: Position after the step just done.
        progress: Phase and alpha of that step.
        task: Task in that phase.
        metrics: Metrics of the last step; empty before the first.
        images_per_second: Since the last entry, without the time that listeners took.
        data_wait: Share of that time that was spent waiting for batches.
        seconds: Spent training so far, over all restarts.
        alarms: Whether each alarm that is watched stands.
    """

    position: Position
    progress: Progress
    task: PhaseTask
    metrics: dict[str, float]
    images_per_second: float
    data_wait: float
    seconds: float
    alarms: Mapping[str, bool]

    @cached_property
    def samples(self) -> Pictures:
        """Return the samples of the task, computed once for all who ask."""
        return self.task.samples()

    @property
    def images_seen(self) -> int:
        """Return the run's clock."""
        return self.position.images_seen

    @property
    def roll_backs(self) -> Sequence[RollBack]:
        """Return how the run went back, oldest first."""
        return self.position.roll_backs


class Listener:
    """Something that watches a run: each method is called between two steps, and does nothing.

    Listeners override what they need.
    """

    def started(self, images_seen: int, damaged: Sequence[Damaged]) -> None:
        """Training begins, or goes on from a checkpoint; all that comes later will come again.

        Args:
            images_seen: The run's clock.
            damaged: Newer checkpoints, which are not as they were written and have been put aside.
        """

    def phase_started(self, moment: Moment) -> None:
        """A phase begins, or goes on after a restart."""

    def stepped(self) -> None:
        """A step is done."""

    def logged(self, moment: Moment) -> None:
        """`run.log_images` have passed, or a phase has ended."""

    def sampled(self, moment: Moment) -> None:
        """`run.sample_images` have passed, or a phase has ended."""

    def stage_ended(self, moment: Moment) -> None:
        """The last image of a resolution has been seen."""

    def saved(self, moment: Moment, folder: Path) -> None:
        """A checkpoint has been written."""

    def alarmed(self, alarm: Alarm, images_seen: int, phase: Phase) -> None:
        """An alarm has begun or ended."""

    def starved(self, seconds: float, *, stop: bool) -> None:
        """No batch has come for so long, and the run still waits.

        Called on another thread. With `stop` the run is to end, and cannot by itself: whoever owns
        the process has to end it.
        """

    def rolled_back(self, roll_back: RollBack) -> None:
        """The run goes back; what came after the checkpoint will come again, and not the same."""
