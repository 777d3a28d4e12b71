"""DiffAugment: a few transforms, of all images and always.

Source: arXiv:2006.10738, section 3.2, and the official `DiffAugment_tf.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import tensorflow as tf

from pipeline.augmentation.draws import Draws, uniforms_of
from pipeline.augmentation.separable import along_sides
from pipeline.config import AugmentationConfig

MOST_MOVED = 1 / 8
"""Share of the side by which `translation` moves at most, rounded down to pixels."""
CUT_SIZE = 1 / 2
"""Sides of what `cutout` takes, over those of the image, rounded down to pixels."""


class Uniform(IntEnum):
    """Columns of the draws. Their order is part of a run's identity and must not change."""

    BRIGHTNESS = 0
    SATURATION = 1
    CONTRAST = 2
    MOVE_DOWN = 3
    MOVE_RIGHT = 4
    CUT_DOWN = 5
    CUT_RIGHT = 6


def diffaugment_draws(key: Any, shape: Sequence[int]) -> Draws:
    """Draw the parameters of DiffAugment.

    Args:
        key: A seed pair, int32 `(2,)`.
        shape: Shape of the images.
    """
    return Draws(uniforms=uniforms_of(key, 0, (shape[0], len(Uniform))))


def diffaugmented(images: Any, draws: Draws, settings: AugmentationConfig) -> Any:
    """Images `(batch, height, width, channels)` → same: `color`, `translation`, then `cutout`."""
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
        images = along_sides(images, down, right)
    if "cutout" in settings.policy:
        down = _covered(uniform(Uniform.CUT_DOWN), height)
        right = _covered(uniform(Uniform.CUT_RIGHT), width)
        images *= 1.0 - (down[:, :, tf.newaxis] * right[:, tf.newaxis, :])[..., tf.newaxis]
    return images


def _spread(images: Any, factors: Any, *, over: Sequence[int]) -> Any:
    """The distances from the mean over some axes, times a factor."""
    mean = tf.reduce_mean(images, axis=over, keepdims=True)
    return (images - mean) * factors + mean


def _moves(uniforms: Any, size: int) -> Any:
    """Matrices that move a side by whole pixels, with zeros behind it, `(batch, size, size)`."""
    most = int(size * MOST_MOVED)
    shifts = tf.cast(tf.floor(uniforms * (2 * most + 1)), tf.int32) - most
    # What lies outside of the image is no pixel's: a row of zeros.
    return tf.one_hot(tf.range(size) - shifts[:, tf.newaxis], size)


def _covered(uniforms: Any, size: int) -> Any:
    """1 where a side is cut and 0 elsewhere, `(batch, size)`.

    The middle of the cut is any pixel, or, for a cut of an even number, any edge of one.
    """
    cut = int(size * CUT_SIZE)
    middles = tf.cast(tf.floor(uniforms * (size + 1 - cut % 2)), tf.int32)
    distance = tf.range(size) - (middles[:, tf.newaxis] - cut // 2)
    return tf.cast((distance >= 0) & (distance < cut), tf.float32)
