"""Protocol of a task, one kind of training such as synthesis: all that the loop knows of it.

The loop resumes, writes checkpoints, raises alarms, schedules, and runs workers and listeners. A
task has the networks, losses and batches. For a run to resume bit for bit, all random numbers of a
task must be a function of the seed, `images_seen` and the number of roll backs.
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

Pictures: TypeAlias = NDArray[np.uint8]  # Images, uint8 `(images, height, width, channels)`.


class Step(Protocol):
    """Compiled training step of one phase."""

    def __call__(self, batches: Any, images_seen: int, alpha: float) -> Metrics:
        """Train on one item of `PhaseTask.batches`, and return metrics.

        `images_seen` counts the images before this step; `alpha` is the fade-in weight.
        """

    def non_finite(self, *, wait: bool) -> NonFinite | None:
        """Return the first non-finite tensor, or None; without `wait`, check older steps only."""


class PhaseTask(Protocol):
    """Task in one phase of the schedule, in which all tensor shapes are constant."""

    @property
    def images_per_step(self) -> int:
        """Number of real images per step."""

    @property
    def variables(self) -> Mapping[str, Any]:
        """TensorFlow variables to save in checkpoints, by names that are stable across versions."""

    @property
    def exportable(self) -> Exportable:
        """Models to export as a SavedModel, with their current weights."""

    def batches(self, images_seen: int) -> Iterator[Any]:
        """Yield the input of each step, without end, starting after `images_seen` images."""

    def compiled_step(self, known: Mapping[str, float], roll_backs: int) -> Step:
        """Make the step; `known` has earlier values of metrics that not every step computes."""

    def measure(self, progress: Progress) -> Metrics:
        """Measure metrics that are too slow for every step; called before samples are written."""

    def samples(self) -> Pictures:
        """Generate sample images, from the same inputs each time."""

    def examples(self, images_seen: int) -> Pictures:
        """Return real images of the batch that is trained on after `images_seen` images."""


class Task(Protocol):
    """Kind of training, such as synthesis."""

    @property
    def data_hash(self) -> str:
        """Hash of the training data, which must be the same on all workers."""

    @property
    def measured(self) -> Collection[str]:
        """Names of the metrics that `PhaseTask.measure` may return."""

    def reset(self) -> None:
        """Initialise all variables again, as at the start of a run."""

    def phase(self, phase: Phase) -> PhaseTask:
        """Build a phase on the variables that earlier phases have trained."""

    def readings(self, metrics: Mapping[str, float]) -> list[Reading]:
        """Turn metrics, of a step or from `measure`, into readings for alarms."""
