"""Colour transforms of ADA: brightness, contrast, luma flip, hue and saturation.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.augmentation.draws import Chances
from pipeline.config import COLOR

BRIGHTNESS_DEVIATION = 0.2
"""Standard deviation of the offset of `brightness`, for values from -1 to 1."""
CONTRAST_DEVIATION = 0.5  # Standard deviation of the binary logarithm of `contrast`.
SATURATION_DEVIATION = 1.0  # Standard deviation of the binary logarithm of `saturation`.

_LUMA = np.full((3, 3), 1 / 3, np.float32)
"""P: the projection onto the axis of greys v = (1, 1, 1) / √3."""
_CHROMA = np.eye(3, dtype=np.float32) - _LUMA  # Q = I - P: the projection onto the plane of hues.
_TURN = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32) / np.float32(sqrt(3))
"""K: the cross product `v × x` as a matrix, a rotation of hue by 90°."""


def recolour(images: Any, chances: Chances) -> Any:
    """Transform the colours: `A x + t` for each pixel x, `(batch, height, width, 1 or 3)` → same.

    The published 4×4 matrices of brightness b, contrast c, luma flip i (0 or 1), hue θ and
    saturation s do not mix the axis of greys with the plane of hues. So their product has a closed
    form: `A = c (1 - 2i) P + c s (cos θ Q + sin θ K)`, and `t = c (1 - 2i) b` in every channel.
    """
    if not chances.any_of(COLOR):
        return images
    brightness = BRIGHTNESS_DEVIATION * chances.normals("brightness")
    brightness = chances.where_applied("brightness", brightness, 0.0)
    contrast = chances.factors("contrast", CONTRAST_DEVIATION)
    flipped = chances.where_applied("lumaflip", tf.floor(2.0 * chances.uniforms("lumaflip")), 0.0)
    luma = (contrast * (1.0 - 2.0 * flipped))[..., tf.newaxis]
    offset = luma * brightness[..., tf.newaxis]
    *sides, channels = images.shape[1:]
    pixels = tf.reshape(images, (-1, sides[0] * sides[1], channels))
    # In grey images leave out hue and saturation, which act on the plane of hues only.
    if channels == 1:
        pixels = luma * pixels
    else:
        hue = chances.where_applied("hue", pi * (2.0 * chances.uniforms("hue") - 1.0), 0.0)
        hue = hue[..., tf.newaxis]
        saturation = chances.factors("saturation", SATURATION_DEVIATION)
        chroma = (contrast * saturation)[..., tf.newaxis]
        matrices = luma * _LUMA + chroma * (tf.cos(hue) * _CHROMA + tf.sin(hue) * _TURN)
        pixels = tf.matmul(pixels, matrices, transpose_b=True)
    return tf.reshape(pixels + offset, (-1, *sides, channels))
