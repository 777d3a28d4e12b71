"""Diversity of fakes relative to that of reals, by MS-SSIM: a low value shows a mode collapse."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from layers.resample import box_down
from pipeline.config import Config
from pipeline.data.dataset import images_of
from pipeline.data.records import RecordSet
from pipeline.schedule import Progress
from pipeline.shape import Shape
from pipeline.training.synthesis.inputs import fade_reals, normalize_images
from pipeline.training.synthesis.ms_ssim_scales import scale_weights, window_of
from pipeline.training.synthesis.phase_models import PhaseModels

IMAGES = 64  # Number of fakes, and of reals, to measure.
SHIFTS = (1, 2, 3, 4)
"""Offsets of the pairs: image i is compared with image i + s, modulo 64, which makes 256 pairs."""
LARGEST = 64
"""Maximum shorter side in pixels; larger images are averaged down, since a collapse shows at any
size."""


def diversity(images: Any) -> float:
    """`1 - mean MS-SSIM(xᵢ, xᵢ₊ₛ)`: 0 if all images are equal, about 1 if they share nothing.

    Args:
        images: Images `(n, height, width, channels)`, about [-1, 1]; other values are clipped.

    Source: MS-SSIM, Wang et al. 2003; as a measure of diversity, arXiv:1610.09585, section 4.2,
    which pairs images of one class; ours pairs images of all classes.
    """
    images = tf.clip_by_value((images + 1.0) / 2.0, 0.0, 1.0)
    _, height, width, _ = images.shape
    if factor := _reducing_factor((height, width)):
        images = box_down(images, factor)
    side = min(images.shape[1:3])
    similarities = [
        tf.image.ssim_multiscale(
            images,
            tf.roll(images, shift, axis=0),
            max_val=1.0,
            power_factors=scale_weights(side),
            filter_size=window_of(side),
        )
        for shift in SHIFTS
    ]
    return float(1.0 - tf.reduce_mean(similarities))


def _reducing_factor(shape: Shape) -> int | None:
    """Find the smallest common factor of both sides that reduces large images enough, or None."""
    factors = range(2, min(shape) + 1)
    common = (factor for factor in factors if not (shape[0] % factor or shape[1] % factor))
    if min(shape) <= LARGEST:
        return None
    return next((factor for factor in common if min(shape) // factor <= LARGEST), None)


class Diversity:
    """Measurement of the metric `diversity`; it keeps the reals of the current resolution."""

    def __init__(self, config: Config, records: RecordSet) -> None:
        self._records = records
        self._labels = None
        if config.data.labels:
            classes = len(records.classes)
            self._labels = tf.one_hot(tf.range(IMAGES) % classes, classes)
        self._reals: dict[int, Any] = {}

    def __call__(self, models: PhaseModels, progress: Progress) -> float:
        """Measure the ratio, about 1 if fakes are as diverse as reals; 1 if all reals are equal."""
        phase = progress.phase
        sampler = models.generation.sampler
        # Fix latents and reals: a resumed run then measures the same as an uninterrupted one.
        points = sampler.points(sampler.latents(range(IMAGES)), self._labels)
        reals = self._reals_of(phase.resolution)
        # Fade reals as for the discriminator, so that they are as coarse as the fakes.
        if phase.fading:
            reals = fade_reals(reals, progress.alpha)
        of_reals = diversity(reals)
        of_fakes = diversity(sampler.images(points, self._labels))
        return of_fakes / of_reals if of_reals else 1.0

    def _reals_of(self, resolution: int) -> Any:
        if resolution not in self._reals:
            # Take the first records: they are a random choice, as records are in random order.
            samples = images_of(self._records, resolution).take(IMAGES)
            images = tf.stack([sample["image"] for sample in samples])
            # Keep one resolution only: earlier ones are not needed any more.
            self._reals = {resolution: normalize_images(images)}
        return self._reals[resolution]
