"""The colours of an image: brighter, with more contrast, inverted, of other hues, more vivid.

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
"""Standard deviation of what `brightness` adds to values from -1 to 1."""
CONTRAST_DEVIATION = 0.5
"""Standard deviation of the binary logarithm of `contrast`."""
SATURATION_DEVIATION = 1.0
"""Standard deviation of the binary logarithm of `saturation`."""

_LUMA = np.full((3, 3), 1 / 3, np.float32)
"""P: onto the axis of greys, v = (1, 1, 1) / √3."""
_CHROMA = np.eye(3, dtype=np.float32) - _LUMA
"""Q = I - P."""
_TURN = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32) / np.float32(sqrt(3))
"""K: the product v × x."""


def recoloured(images: Any, chances: Chances) -> Any:
    """`A x + t` for each pixel x, `(batch, height, width, 1 or 3)` → same.

    The published 4×4 matrices of brightness b, contrast c, luma flip i, hue θ and saturation s keep
    the greys and what is at right angles to them apart, so that their product has the closed form
    `A = c (1 - 2i) P + c s (cos θ Q + sin θ K)`, `t = c (1 - 2i) b` in every channel. Grey images
    take what becomes of a grey pixel, in which hue and saturation have no part.
    """
    if not chances.any_of(COLOR):
        return images
    brightness = BRIGHTNESS_DEVIATION * chances.normals("brightness")
    brightness = chances.applied("brightness", brightness, 0.0)
    contrast = 2.0 ** (CONTRAST_DEVIATION * chances.normals("contrast"))
    contrast = chances.applied("contrast", contrast, 1.0)
    flipped = chances.applied("lumaflip", tf.floor(2.0 * chances.uniforms("lumaflip")), 0.0)
    luma = (contrast * (1.0 - 2.0 * flipped))[..., tf.newaxis]
    offset = luma * brightness[..., tf.newaxis]
    *sides, channels = images.shape[1:]
    pixels = tf.reshape(images, (-1, sides[0] * sides[1], channels))
    if channels == 1:
        pixels = luma * pixels
    else:
        hue = chances.applied("hue", pi * (2.0 * chances.uniforms("hue") - 1.0), 0.0)
        hue = hue[..., tf.newaxis]
        saturation = 2.0 ** (SATURATION_DEVIATION * chances.normals("saturation"))
        saturation = chances.applied("saturation", saturation, 1.0)
        chroma = (contrast * saturation)[..., tf.newaxis]
        matrices = luma * _LUMA + chroma * (tf.cos(hue) * _CHROMA + tf.sin(hue) * _TURN)
        pixels = tf.matmul(pixels, matrices, transpose_b=True)
    return tf.reshape(pixels + offset, (-1, *sides, channels))
