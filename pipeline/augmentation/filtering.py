"""The frequencies of an image: four bands, each amplified by a factor of its own.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`. There edges cannot be reflected
in images smaller than half of the filter, 22 pixels; here they are, as often as it takes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.augmentation.draws import Chances
from pipeline.augmentation.separable import Array, along_sides, reflecting

DEVIATION = 1.0
"""Standard deviation of the binary logarithm of a band's factor."""
POWER = np.array([10, 1, 1, 1], np.float32) / 13
"""What is expected in each band, the lowest first, where power falls as 1/f."""

_LOW = np.array([-1, 0, 9, 16, 9, 0, -1]) / 32
"""`H(z) H(1/z) / 2`, with H the low-pass filter of the wavelet sym2."""
_HIGH = np.array([1, 0, -9, 16, -9, 0, 1]) / 32
"""`H(-z) H(-1/z) / 2`: both together change nothing."""


def filtered(images: Any, chances: Chances) -> Any:
    """`(batch, height, width, channels)` → same: every channel filtered down and to the right.

    The gains of the bands are the product over bands i of `t / √(Σ power · t²)`, where t has the
    factor of band i there and 1 elsewhere: what amplifies a band takes power from all.
    """
    if not chances.any_of(("imgfilter",)):
        return images
    factors = chances.applied("imgfilter", 2.0 ** (DEVIATION * chances.normals("imgfilter")), 1.0)
    powers = 1.0 + POWER * (factors**2 - 1.0)
    gains = factors / tf.sqrt(tf.reduce_prod(powers, axis=1, keepdims=True))
    down, right = (
        tf.einsum("bk,kij->bij", gains, _band_matrices(side)) for side in images.shape[1:3]
    )
    return along_sides(images, down, right)


@cache
def band_filters() -> Any:
    """The filters of the four bands, `(4, 43)`, symmetric; their sum changes nothing.

    Each step halves the frequencies so far, and adds a band of the highest.
    """
    filters = np.array([[1.0], [0.0], [0.0], [0.0]])
    for band in range(1, 4):
        among_zeros = np.zeros((4, 2 * filters.shape[1] - 1))
        among_zeros[:, ::2] = filters
        filters = np.stack([np.convolve(row, _LOW) for row in among_zeros])
        middle = filters.shape[1] // 2
        filters[band, middle - 3 : middle + 4] += _HIGH
    return filters


@cache
def _band_matrices(size: int) -> Array:
    """Each band of a side, `(4, size, size)`."""
    filters = band_filters()
    taps = filters.shape[1]
    sources = np.arange(size)[:, np.newaxis] + np.arange(taps) - taps // 2
    return np.stack([reflecting(sources, weights, size) for weights in filters])
