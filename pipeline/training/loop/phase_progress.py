"""Progress of one phase between a start and the next stop: position, metrics and alarms."""

from __future__ import annotations

from pipeline.schedule import Progress
from pipeline.training.alarms.monitor import Monitor
from pipeline.training.loop.listeners import Moment
from pipeline.training.loop.stopwatch import Stopwatch
from pipeline.training.loop.task import PhaseTask
from pipeline.training.optimization.gradients import Metrics
from pipeline.training.position import Position


class PhaseProgress:
    """Progress of one phase: the only holder of a run's position while it trains.

    Args:
        task: Task in this phase.
        position: Position after the last step; every step advances it.
        stopwatch: Times the run.
        monitor: Alarms of the run.
        progress: Schedule at the next step; at the last one, once that is done.
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
        # Kept from one sampling to the next, beside the metrics of each step.
        self._measured = dict(measured)
        self.former = set(measured)
        """Names of measured metrics that belong to the weights of an earlier step."""
        self.of_step: Metrics = {}
        """Metrics of the last step alone."""

    @property
    def metrics(self) -> Metrics:
        """Metrics of the last step, and what was measured at it or earlier."""
        return self.of_step | self._measured

    def measure(self, found: Metrics) -> None:
        """Add what was measured after the last step."""
        self._measured |= found
        self.former -= found.keys()

    def stepped(self, images: int, metrics: Metrics) -> None:
        """Count a step on a number of images."""
        self.position = self.position.advanced(images)
        self.of_step = metrics
        self.former = set(self._measured)
        self.stopwatch.tick(images)

    def moment(self) -> Moment:
        """Return what listeners get to see."""
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
