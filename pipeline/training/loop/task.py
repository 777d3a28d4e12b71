"""Protocol of a task: one kind of training, and all that the loop knows of it.

Resume, checkpoints, alarms, workers, listeners and scheduling are the loop's. A task brings its
networks, its losses and its batches. To resume bit for bit, everything random in it must follow
from the seed, `images_seen` and the number of roll backs alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.schedule import Phase, Progress
from pipeline.training.alarms.non_finite import NonFinite
from pipeline.training.alarms.thresholds import Reading
from pipeline.training.optimization.gradients import Metrics
from savedmodels.exportable import Exportable

Pictures: TypeAlias = NDArray[np.uint8]
"""`(images, height, width, channels)`."""


class Step(Protocol):
    """Compiled training step of one phase."""

    def __call__(self, batches: Any, images_seen: int, alpha: float) -> Metrics:
        """Train on what `PhaseTask.batches` gave; `alpha` is the weight of a new resolution."""

    def non_finite(self, *, wait: bool) -> NonFinite | None:
        """Return the first tensor that was not finite; without `wait`, of finished steps only."""


class PhaseTask(Protocol):
    """One phase of a task, in which no shape changes."""

    @property
    def images_per_step(self) -> int:
        """Real images that a step trains on."""

    @property
    def variables(self) -> Mapping[str, Any]:
        """TensorFlow variables of a checkpoint, by names that stay the same in later versions."""

    @property
    def exportable(self) -> Exportable:
        """Models that a SavedModel of this moment is made of."""

    def batches(self, images_seen: int) -> Iterator[Any]:
        """Yield without end what each step trains on, from a position of the clock on."""

    def compiled_step(self, known: Mapping[str, float], roll_backs: int) -> Step:
        """Return the step; metrics that it does not compute each time begin as `known`."""

    def measure(self, progress: Progress) -> Metrics:
        """Measure what takes too long for every step; called before samples are written."""

    def samples(self) -> Pictures:
        """Return generated images, of the same inputs each time."""

    def examples(self, images_seen: int) -> Pictures:
        """Return real images, as the networks get them at that position."""


class Task(Protocol):
    """One kind of training."""

    @property
    def data_hash(self) -> str:
        """Hash of the data, which must be the same on all workers."""

    @property
    def measured(self) -> Collection[str]:
        """Names of the metrics that `PhaseTask.measure` may give."""

    def reset(self) -> None:
        """Make all variables anew, as they are at the start of a run."""

    def phase(self, phase: Phase) -> PhaseTask:
        """Build what a phase trains, on the variables that earlier phases have trained."""

    def readings(self, metrics: Mapping[str, float]) -> list[Reading]:
        """Return the readings for alarms that these metrics of a step or of `measure` give."""
