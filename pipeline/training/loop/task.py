"""Protocol of a task, one kind of training: all that the loop knows of it.

The loop resumes, writes checkpoints, raises alarms, schedules, and runs workers and listeners. A
task has the networks, losses and batches. To resume bit for bit, all its randomness must follow
from the seed, `images_seen` and the number of roll backs only.
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
"""Images, uint8 `(images, height, width, channels)`."""


class Step(Protocol):
    """Compiled training step of one phase."""

    def __call__(self, batches: Any, images_seen: int, alpha: float) -> Metrics:
        """Train on an item of `PhaseTask.batches`; `alpha` is the fade-in weight."""

    def non_finite(self, *, wait: bool) -> NonFinite | None:
        """Return the first non-finite tensor; without `wait`, look at finished steps only."""


class PhaseTask(Protocol):
    """Phase of a task, in which all shapes are constant."""

    @property
    def images_per_step(self) -> int:
        """Number of real images per step."""

    @property
    def variables(self) -> Mapping[str, Any]:
        """TensorFlow variables of a checkpoint, by names that are stable across versions."""

    @property
    def exportable(self) -> Exportable:
        """Models for a SavedModel, with their current weights."""

    def batches(self, images_seen: int) -> Iterator[Any]:
        """Yield the input of each step without end, from a number of images seen on."""

    def compiled_step(self, known: Mapping[str, float], roll_backs: int) -> Step:
        """Make the step; `known` are initial values of metrics that not every step computes."""

    def measure(self, progress: Progress) -> Metrics:
        """Measure metrics that are too slow for every step; called before samples are written."""

    def samples(self) -> Pictures:
        """Generate images from the same inputs each time."""

    def examples(self, images_seen: int) -> Pictures:
        """Return real images as the networks get them at this position."""


class Task(Protocol):
    """Kind of training."""

    @property
    def data_hash(self) -> str:
        """Hash of the data, which must be the same on all workers."""

    @property
    def measured(self) -> Collection[str]:
        """Names of the metrics that `PhaseTask.measure` may return."""

    def reset(self) -> None:
        """Make all variables anew, as at the start of a run."""

    def phase(self, phase: Phase) -> PhaseTask:
        """Build a phase on the variables that earlier phases have trained."""

    def readings(self, metrics: Mapping[str, float]) -> list[Reading]:
        """Turn metrics, of a step or from `measure`, into readings for alarms."""
