"""Corruptions of ADA: added noise, and a part that is cut out.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pipeline.augmentation.draws import Chances
from pipeline.shape import Shape

NOISE_DEVIATION = 0.1
"""Scale of the half-normal distribution of the noise's deviation, for values from -1 to 1."""
CUT_SIZE = 0.5
"""Sides of the cut-out part, as a share of the image's sides."""


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
    """Mask `(batch, height, width, 1)`: 0 in the cut-out part, 1 elsewhere.

    Centres, right and down, `(batch, 2)`, and sizes, `(batch, 1)`, are shares of the sides.
    """

    def inside(side: int, centres: Any) -> Any:
        pixels = (tf.range(side, dtype=tf.float32) + 0.5) / side
        return tf.abs(pixels - centres[:, tf.newaxis]) < shares / 2

    height, width = shape
    down, right = inside(height, centres[:, 1]), inside(width, centres[:, 0])
    cut = down[:, :, tf.newaxis] & right[:, tf.newaxis, :]
    return 1.0 - tf.cast(cut, tf.float32)[..., tf.newaxis]
