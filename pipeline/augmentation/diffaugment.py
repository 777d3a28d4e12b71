"""DiffAugment: colour, translation and cutout, applied to every image.

Source: arXiv:2006.10738, section 3.2, and the official `DiffAugment_tf.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import tensorflow as tf

from pipeline.augmentation.draws import Draws, uniforms_of
from pipeline.augmentation.separable import apply_along_sides
from pipeline.config import AugmentationConfig

LARGEST_SHIFT = 1 / 8
"""Maximum shift by `translation`, as a share of the side, rounded down to pixels."""
CUT_SIZE = 1 / 2
"""Sides of the rectangle that `cutout` removes, as a share of the image's sides, rounded down."""


class Uniform(IntEnum):
    """Columns of the draws; keep this order, because another one would change every run."""

    BRIGHTNESS = 0
    SATURATION = 1
    CONTRAST = 2
    MOVE_DOWN = 3
    MOVE_RIGHT = 4
    CUT_DOWN = 5
    CUT_RIGHT = 6


def diffaugment_draws(key: Any, shape: Sequence[int]) -> Draws:
    """Draw the random numbers of DiffAugment for images of a shape, from a key, int32 `(2,)`."""
    # Draw all columns under every policy: leaving a transform out then changes no other one.
    return Draws(uniforms=uniforms_of(key, 0, (shape[0], len(Uniform))))


def apply_diffaugment(images: Any, draws: Draws, settings: AugmentationConfig) -> Any:
    """Apply `color`, `translation`, then `cutout` to images `(batch, height, width, channels)`."""
    _, height, width, _ = images.shape

    def uniform(column: Uniform) -> Any:
        return draws.uniforms[:, column]

    if "color" in settings.policy:
        brightness, saturation, contrast = (
            uniform(column)[:, tf.newaxis, tf.newaxis, tf.newaxis]
            for column in (Uniform.BRIGHTNESS, Uniform.SATURATION, Uniform.CONTRAST)
        )
        images += brightness - 0.5
        images = _spread(images, 2.0 * saturation, over=[3])
        images = _spread(images, contrast + 0.5, over=[1, 2, 3])
    if "translation" in settings.policy:
        down = _moves(uniform(Uniform.MOVE_DOWN), height)
        right = _moves(uniform(Uniform.MOVE_RIGHT), width)
        images = apply_along_sides(images, down, right)
    if "cutout" in settings.policy:
        down = _covered(uniform(Uniform.CUT_DOWN), height)
        right = _covered(uniform(Uniform.CUT_RIGHT), width)
        images *= 1.0 - (down[:, :, tf.newaxis] * right[:, tf.newaxis, :])[..., tf.newaxis]
    return images


def _spread(images: Any, factors: Any, *, over: Sequence[int]) -> Any:
    """Multiply distances from the mean over the axes `over` by a factor per image."""
    mean = tf.reduce_mean(images, axis=over, keepdims=True)
    return (images - mean) * factors + mean


def _moves(uniforms: Any, size: int) -> Any:
    """Make matrices `(batch, size, size)` that shift by whole pixels and fill with zeros."""
    largest = int(size * LARGEST_SHIFT)
    shifts = tf.cast(tf.floor(uniforms * (2 * largest + 1)), tf.int32) - largest
    # `one_hot` fills: for indices outside the image it gives a row of zeros.
    return tf.one_hot(tf.range(size) - shifts[:, tf.newaxis], size)


def _covered(uniforms: Any, size: int) -> Any:
    """Make a mask `(batch, size)` along a side: 1 in the cut, which edges may shorten, else 0."""
    cut = int(size * CUT_SIZE)
    # The middle of an even cut lies between two pixels, so there is one more position for it.
    middles = tf.cast(tf.floor(uniforms * (size + 1 - cut % 2)), tf.int32)
    distance = tf.range(size) - (middles[:, tf.newaxis] - cut // 2)
    return tf.cast((distance >= 0) & (distance < cut), tf.float32)
