"""Corruption of images: added noise, and a square that is cut out.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pipeline.augmentation.draws import Chances

NOISE_DEVIATION = 0.1
"""Scale of the noise's deviation, which is half normal, for values from -1 to 1."""
CUT_SIZE = 0.5
"""Side of the square over that of the image."""


def corrupted(images: Any, chances: Chances) -> Any:
    """`(batch, size, size, channels)` → same: `noise`, then `cutout`."""
    if chances.any_of(("noise",)):
        deviation = NOISE_DEVIATION * tf.abs(chances.normals("noise"))
        deviation = chances.applied("noise", deviation, 0.0)
        images += chances.draws.noise * deviation[..., tf.newaxis, tf.newaxis]
    if chances.any_of(("cutout",)):
        side = chances.applied("cutout", CUT_SIZE, 0.0)
        images *= _outside(chances.uniforms("cutout"), side, images.shape[1])
    return images


def _outside(centres: Any, sides: Any, size: int) -> Any:
    """1 outside of squares and 0 inside, `(batch, size, size, 1)`.

    Args:
        centres: Centres to the right and down, as shares of the image's side, `(batch, 2)`.
        sides: Sides as such shares, `(batch, 1)`.
        size: Size of the image, in pixels.
    """
    pixels = (tf.range(size, dtype=tf.float32) + 0.5) / size
    inside = tf.abs(pixels - centres[..., tf.newaxis]) < sides[..., tf.newaxis] / 2
    cut = inside[:, 1, :, tf.newaxis] & inside[:, 0, tf.newaxis, :]
    return 1.0 - tf.cast(cut, tf.float32)[..., tf.newaxis]
