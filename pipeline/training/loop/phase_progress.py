"""State of the phase in training: position, metrics and alarms; the trainer updates it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.schedule import Progress
from pipeline.training.alarms.monitor import Monitor
from pipeline.training.loop.listeners import Moment
from pipeline.training.loop.stopwatch import Stopwatch
from pipeline.training.loop.task import PhaseTask
from pipeline.training.optimization.gradients import Metrics
from pipeline.training.position import Position


@dataclass
class PhaseProgress:
    """State of the phase in training; nothing else holds the run's position meanwhile."""

    task: PhaseTask
    position: Position
    stopwatch: Stopwatch
    monitor: Monitor
    progress: Progress
    measured: Metrics
    """Rarely measured metrics, such as FID; values stay until the next measurement."""
    of_step: Metrics = field(default_factory=dict)  # Metrics of the last step only.

    def __post_init__(self) -> None:
        self.former = set(self.measured)
        """Names of rarely measured metrics whose values are of the weights of an earlier step."""

    @property
    def metrics(self) -> Metrics:
        """Metrics of the last step, and the newest rarely measured ones."""
        return self.of_step | self.measured

    def measure(self, found: Metrics) -> None:
        """Add metrics that were measured after the last step."""
        self.measured |= found
        self.former -= found.keys()

    def stepped(self, images: int, metrics: Metrics) -> None:
        """Record a step on `images` images, and its metrics."""
        self.position = self.position.advanced(images)
        self.of_step = metrics
        self.former = set(self.measured)
        self.stopwatch.tick(images)

    def moment(self) -> Moment:
        """Return the state for listeners."""
        return Moment(
            self.position,
            self.progress,
            self.task,
            {name: float(value) for name, value in self.metrics.items()},
            self.stopwatch.rate(),
            self.stopwatch.data_wait(),
            self.stopwatch.seconds(),
            self.monitor.standing,
        )
