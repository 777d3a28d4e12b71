"""Corruption of images: added noise, and a part that is cut out.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pipeline.augmentation.draws import Chances
from pipeline.shape import Shape

NOISE_DEVIATION = 0.1
"""Scale of the noise's deviation, which is half normal, for values from -1 to 1."""
CUT_SIZE = 0.5
"""Sides of what is cut out over those of the image."""


def corrupted(images: Any, chances: Chances) -> Any:
    """`(batch, height, width, channels)` → same: `noise`, then `cutout`."""
    if chances.any_of(("noise",)):
        deviation = NOISE_DEVIATION * tf.abs(chances.normals("noise"))
        deviation = chances.applied("noise", deviation, 0.0)
        images += chances.draws.noise * deviation[..., tf.newaxis, tf.newaxis]
    if chances.any_of(("cutout",)):
        share = chances.applied("cutout", CUT_SIZE, 0.0)
        _, height, width, _ = images.shape
        images *= _outside(chances.uniforms("cutout"), share, (height, width))
    return images


def _outside(centres: Any, shares: Any, shape: Shape) -> Any:
    """1 outside of the parts that are cut out and 0 inside, `(batch, height, width, 1)`.

    Args:
        centres: Centres to the right and down, as shares of the image's sides, `(batch, 2)`.
        shares: Shares of either side that are cut out, `(batch, 1)`.
        shape: Height and width of the image.
    """

    def inside(side: int, centres: Any) -> Any:
        pixels = (tf.range(side, dtype=tf.float32) + 0.5) / side
        return tf.abs(pixels - centres[:, tf.newaxis]) < shares / 2

    height, width = shape
    down, right = inside(height, centres[:, 1]), inside(width, centres[:, 0])
    cut = down[:, :, tf.newaxis] & right[:, tf.newaxis, :]
    return 1.0 - tf.cast(cut, tf.float32)[..., tf.newaxis]
