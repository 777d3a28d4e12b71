"""Progress of one phase during training: position, metrics and alarms."""

from __future__ import annotations

from pipeline.schedule import Progress
from pipeline.training.alarms.monitor import Monitor
from pipeline.training.loop.listeners import Moment
from pipeline.training.loop.stopwatch import Stopwatch
from pipeline.training.loop.task import PhaseTask
from pipeline.training.optimization.gradients import Metrics
from pipeline.training.position import Position


class PhaseProgress:
    """Progress of one phase, and the only holder of a run's position during training.

    Args:
        task: Task in this phase.
        position: Position after the last step; every step advances it.
        stopwatch: Stopwatch of the run.
        monitor: Monitor of the run's alarms.
        progress: Phase and alpha of the current step.
        measured: Metrics that were measured before the last checkpoint.
    """

    def __init__(
        self,
        task: PhaseTask,
        position: Position,
        stopwatch: Stopwatch,
        monitor: Monitor,
        progress: Progress,
        measured: Metrics,
    ) -> None:
        self.task = task
        self.position = position
        self.stopwatch = stopwatch
        self.monitor = monitor
        self.progress = progress
        # Measured rarely, so values stay until the next measurement, beside each step's metrics.
        self._measured = dict(measured)
        self.former = set(measured)
        """Names of measured metrics that describe the weights of an earlier step."""
        self.of_step: Metrics = {}
        """Metrics of the last step only."""

    @property
    def metrics(self) -> Metrics:
        """Metrics of the last step, and the newest of those that are measured rarely."""
        return self.of_step | self._measured

    def measure(self, found: Metrics) -> None:
        """Add metrics that were measured after the last step."""
        self._measured |= found
        self.former -= found.keys()

    def stepped(self, images: int, metrics: Metrics) -> None:
        """Count a step on a number of images."""
        self.position = self.position.advanced(images)
        self.of_step = metrics
        self.former = set(self._measured)
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
