"""Corruptions of ADA: added noise, and a rectangle set to 0.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pipeline.augmentation.draws import Chances
from pipeline.shape import Shape

NOISE_DEVIATION = 0.1
"""Deviation of the noise is half-normal with this scale, for pixel values from -1 to 1."""
CUT_SIZE = 0.5  # Sides of the rectangle that `cutout` removes, as a share of the image's sides.


def corrupt(images: Any, chances: Chances) -> Any:
    """Apply `noise`, then `cutout`, to images `(batch, height, width, channels)`."""
    if chances.any_of(("noise",)):
        deviation = NOISE_DEVIATION * tf.abs(chances.normals("noise"))
        deviation = chances.where_applied("noise", deviation, 0.0)
        images += chances.draws.noise * deviation[..., tf.newaxis, tf.newaxis]
    if chances.any_of(("cutout",)):
        share = chances.where_applied("cutout", CUT_SIZE, 0.0)
        _, height, width, _ = images.shape
        images *= _outside(chances.uniforms("cutout"), share, (height, width))
    return images


def _outside(centres: Any, shares: Any, shape: Shape) -> Any:
    """Make a mask `(batch, height, width, 1)`: 0 in the cut-out rectangle, 1 elsewhere.

    `centres` `(batch, 2)` are positions right and down, and `shares` `(batch, 1)` side lengths of
    the rectangle; both are shares of the image's sides.
    """

    def inside(side: int, centres: Any) -> Any:
        pixels = (tf.range(side, dtype=tf.float32) + 0.5) / side
        return tf.abs(pixels - centres[:, tf.newaxis]) < shares / 2

    height, width = shape
    down, right = inside(height, centres[:, 1]), inside(width, centres[:, 0])
    cut = down[:, :, tf.newaxis] & right[:, tf.newaxis, :]
    return 1.0 - tf.cast(cut, tf.float32)[..., tf.newaxis]
