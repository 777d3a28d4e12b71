"""Schedule of progressive growing: phase and fade-in weight alpha by number of images seen.

Source: arXiv:1710.10196, appendix A, and the official `TrainingSchedule`, which counts levels of
detail down from the final size. Ours counts pixels; `images_seen` is the only clock of a run.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TypeAlias, TypeVar

from pipeline.shape import Shape, shape_name

T = TypeVar("T")
PerResolution: TypeAlias = T | Mapping[int, T]
"""One value, or values by resolution, as `at_resolution` reads them."""


@dataclass(frozen=True)
class Phase:
    """Part of a training in which every tensor shape is constant."""

    resolution: int  # Side of the images in pixels; the height if they are not square
    fading: bool  # True if this resolution is being faded in (alpha rises from 0 to 1)
    images: int  # Length of the phase, in images
    batch_size: int  # Images per batch, over all replicas
    learning_rate: float  # Adam's learning rate
    width: int | None = None  # Width of the images in pixels; None for squares

    @property
    def shape(self) -> Shape:
        """Height and width of the images."""
        return self.resolution, self.width or self.resolution

    @property
    def name(self) -> str:
        """Name of the phase: `fade_16x16` or `hold_16x16`."""
        return f"{'fade' if self.fading else 'hold'}_{shape_name(self.shape)}"


@dataclass(frozen=True)
class Progress:
    """Phase at a number of images seen, its index, and the weight `alpha` of its resolution."""

    phase: Phase
    index: int
    alpha: float


@dataclass(frozen=True)
class Schedule:
    """Phases of a run, in the order of training."""

    phases: tuple[Phase, ...]

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Number of images seen at the start of each phase."""
        return (0, *accumulate(phase.images for phase in self.phases))[:-1]

    @cached_property
    def total_images(self) -> int:
        """Length of the run in images."""
        return sum(phase.images for phase in self.phases)

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """Trained resolutions in pixels, ascending."""
        return tuple(sorted({phase.resolution for phase in self.phases}))

    @cached_property
    def stages(self) -> tuple[Shape, ...]:
        """Height and width of the images at each trained resolution, ascending."""
        return tuple(sorted({phase.shape for phase in self.phases}))

    def with_rate(self, factor: float) -> Schedule:
        """Return the same phases with their learning rates multiplied by a factor."""
        return Schedule(
            tuple(replace(p, learning_rate=p.learning_rate * factor) for p in self.phases)
        )

    def at(self, images_seen: int) -> Progress:
        """Look up phase and alpha of the training step that starts after `images_seen` images.

        Raises:
            ValueError: if `images_seen` is negative.
        """
        if images_seen < 0:
            raise ValueError(f"`images_seen` must not be negative. Received: {images_seen}")
        index = min(bisect_right(self._ends, images_seen), len(self.phases) - 1)
        phase, start = self.phases[index], self.starts[index]
        # Limit alpha to 1: after the end of the schedule the last phase continues.
        alpha = min(1.0, (images_seen - start) / phase.images) if phase.fading else 1.0
        return Progress(phase, index, alpha)

    def steps(self, batches: int = 1) -> tuple[int, ...]:
        """Count the steps that begin in each phase, if a step takes this many batches."""
        counts, images_seen = [], 0
        for end, phase in zip(self._ends, self.phases, strict=True):
            images = phase.batch_size * batches
            # The last step of a phase may pass the phase's end; the next one then starts later.
            counts.append(max(0, math.ceil((end - images_seen) / images)))
            images_seen += counts[-1] * images
        return tuple(counts)

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        """Number of images seen at the end of each phase; one more if a fade follows."""
        # Leave the step with alpha = 0 to the phase before the fade, like the official formula.
        following = (*(phase.fading for phase in self.phases[1:]), False)
        return tuple(
            start + phase.images + fades
            for start, phase, fades in zip(self.starts, self.phases, following, strict=True)
        )


def at_resolution(value: PerResolution[T], resolution: int) -> T:
    """Look up a value by resolution.

    Args:
        value: One value for all resolutions, or a mapping whose entries apply from their key up to
            the next key: `{4: 128, 32: 64}` means 128 at 4, 8 and 16 px, and 64 from 32 px up.
        resolution: Resolution in pixels.

    Raises:
        ValueError: if the mapping has no entry at or below `resolution`.
    """
    if not isinstance(value, Mapping):
        return value
    keys = [key for key in value if key <= resolution]
    if not keys:
        raise ValueError(
            f"a value per resolution must list one at or below {resolution}. "
            f"Received: {dict(value)}"
        )
    return value[max(keys)]


def progressive(
    *,
    resolution: int,
    start_resolution: int = 4,
    hold_images: PerResolution[int] = 600_000,
    fade_images: PerResolution[int] = 600_000,
    batch_size: PerResolution[int] = 16,
    learning_rate: PerResolution[float] = 0.001,
    width: int | None = None,
) -> Schedule:
    """Build a schedule: hold the first resolution, then fade in and hold each doubled one.

    With a `width`, images have one shape only, and `resolution` is their height.

    Example:
        >>> [phase.name for phase in progressive(resolution=8).phases]
        ['hold_4x4', 'fade_8x8', 'hold_8x8']

    Source: arXiv:1710.10196, section 3 and appendix A (600k images per hold and per fade).
    """

    def phase(size: int, *, fading: bool) -> Phase:
        return Phase(
            resolution=size,
            fading=fading,
            images=at_resolution(fade_images if fading else hold_images, size),
            batch_size=at_resolution(batch_size, size),
            learning_rate=at_resolution(learning_rate, size),
            width=width,
        )

    phases = [phase(start_resolution, fading=False)]
    size = start_resolution
    while size < resolution:
        size *= 2
        phases += [phase(size, fading=True), phase(size, fading=False)]
    # Skip phases of length 0, such as the fades of a run without fading.
    return Schedule(tuple(p for p in phases if p.images > 0))
