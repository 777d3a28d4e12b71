"""Listeners: callbacks of a training run, and the state (`Moment`) that they receive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.schedule import Phase, Progress
from pipeline.training.alarms.monitor import Alarm
from pipeline.training.loop.checkpoints import DamagedCheckpoint
from pipeline.training.position import Position, RollBack

if TYPE_CHECKING:
    from pipeline.training.loop.task import PhaseTask, Pictures


@dataclass(frozen=True)
class Moment:
    """State of a run between two steps, as listeners receive it."""

    position: Position  # Position after the last step
    progress: Progress  # Phase and fade-in weight alpha of the last step
    task: PhaseTask  # Task in this phase
    metrics: dict[str, float]
    """Metrics of the last step, and the newest rarely measured ones such as FID."""
    images_per_second: float
    """Throughput since the last log entry, without the time for measurements, listeners and
    checkpoints; 0 if unknown."""
    data_wait: float  # Share of the time of steps spent waiting for batches, 0 to 1
    seconds: float  # Seconds of training so far, over all restarts
    alarms: Mapping[str, bool]  # Watched alarms, and whether each is raised

    @cached_property
    def samples(self) -> Pictures:
        """Sample images of the task, generated once for all listeners."""
        return self.task.samples()

    @property
    def images_seen(self) -> int:
        """Number of real images that the run has trained on."""
        return self.position.images_seen

    @property
    def roll_backs(self) -> Sequence[RollBack]:
        """Roll backs of the run, oldest first."""
        return self.position.roll_backs


class Listener:
    """Base class of a run's callbacks: override the events to handle; the methods here do nothing.

    The loop calls events between two steps, only in the chief, which is the first worker.
    """

    def started(self, images_seen: int, damaged: Sequence[DamagedCheckpoint]) -> None:
        """Training starts or resumes, without `damaged` checkpoints.

        Events of an earlier attempt after `images_seen` will be repeated.
        """

    def phase_started(self, moment: Moment) -> None:
        """A phase starts, or resumes."""

    def stepped(self) -> None:
        """A step is done."""

    def logged(self, moment: Moment) -> None:
        """A log entry is due: after `run.log_images`, and at the end of a phase."""

    def sampled(self, moment: Moment) -> None:
        """Samples are due: after `run.sample_images`, and at the end of a phase."""

    def stage_ended(self, moment: Moment) -> None:
        """The last image of a resolution has been seen."""

    def saved(self, moment: Moment, folder: Path) -> None:
        """A checkpoint has been written."""

    def alarmed(self, alarm: Alarm, images_seen: int, phase: Phase) -> None:
        """An alarm has begun or ended."""

    def starved(self, seconds: float, *, stop: bool) -> None:
        """No batch has arrived for too many seconds, and the run still waits.

        It is called on another thread. With `stop` the run should end, but cannot by itself: the
        owner of the process must end it.
        """

    def rolled_back(self, roll_back: RollBack) -> None:
        """The run rolls back; events after the checkpoint will be repeated with other results."""


def notify(listeners: Sequence[Listener], event: str, *details: Any, **named: Any) -> None:
    """Call the event, a method's name, of each listener in order."""
    for listener in listeners:
        getattr(listener, event)(*details, **named)
