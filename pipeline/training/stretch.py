"""How far a phase has come, between a start and the next stop."""

from __future__ import annotations

from pipeline.schedule import Progress
from pipeline.training.alarms.watch import Watch
from pipeline.training.checkpoints import Position
from pipeline.training.clock import Clock
from pipeline.training.descent import Metrics
from pipeline.training.listeners import Moment
from pipeline.training.phase_models import PhaseModels


class Stretch:
    """Where a phase stands.

    Args:
        models: Of the phase.
        position: As the last checkpoint has it.
        clock: Of the run.
        watch: Its alarms.
        progress: Of the next step; of the last one, once that is done.
        measured: What was measured before the last checkpoint.
    """

    def __init__(
        self,
        models: PhaseModels,
        position: Position,
        clock: Clock,
        watch: Watch,
        progress: Progress,
        measured: Metrics,
    ) -> None:
        self.models = models
        self.position = position
        self.clock = clock
        self.watch = watch
        self.progress = progress
        self.images_seen = position.images_seen
        self._measured = dict(measured)
        """Kept from one sampling to the next, beside the metrics of each step."""
        self.former = set(measured)
        """Names of what of it was measured on the weights of an earlier step."""
        self._of_step: Metrics = {}

    @property
    def metrics(self) -> Metrics:
        """Of the last step, and what was measured then or before."""
        return self._of_step | self._measured

    def measure(self, found: Metrics) -> None:
        """Add what was measured after this step."""
        self._measured |= found
        self.former -= found.keys()

    def stepped(self, images: int, metrics: Metrics) -> None:
        """Count a step."""
        self.images_seen += images
        self._of_step = metrics
        self.former = set(self._measured)
        self.clock.tick(images)

    def moment(self) -> Moment:
        """As listeners are told of it."""
        return Moment(
            self.images_seen,
            self.progress,
            self.models,
            {name: float(value) for name, value in self.metrics.items()},
            self.clock.rate(),
            self.clock.data_wait(),
            self.clock.seconds(),
            self.watch.standing,
            self.position.roll_backs,
        )
