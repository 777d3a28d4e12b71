"""Filter of ADA: amplify each of four frequency bands of an image by a random factor.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`, which cannot reflect the edges
of images smaller than half of the filter, 22 pixels. Ours reflects as often as needed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.augmentation.draws import Chances
from pipeline.augmentation.separable import Array, apply_along_sides, reflection_matrix

DEVIATION = 1.0  # Standard deviation of the binary logarithm of a band's factor.
POWER = np.array([10, 1, 1, 1], np.float32) / 13
"""Expected share of the power in each band, lowest first, for a spectrum of 1/f."""

_LOW = np.array([-1, 0, 9, 16, 9, 0, -1]) / 32
"""`H(z) H(1/z) / 2`, with H the low-pass filter of the wavelet sym2."""
_HIGH = np.array([1, 0, -9, 16, -9, 0, 1]) / 32
"""`H(-z) H(-1/z) / 2`; the sum of both filters is the identity."""


def filter_bands(images: Any, chances: Chances) -> Any:
    """Amplify frequency bands of images `(batch, height, width, channels)`, along both sides.

    Each band i multiplies the gains of all bands by `t / √(Σ power · t²)`, where t is the factor of
    band i in band i itself and 1 in the others.
    """
    if not chances.any_of(("imgfilter",)):
        return images
    factors = chances.factors("imgfilter", DEVIATION)
    powers = 1.0 + POWER * (factors**2 - 1.0)
    # Divide, so that the expected power of the whole image does not change.
    gains = factors / tf.sqrt(tf.reduce_prod(powers, axis=1, keepdims=True))
    down, right = (
        tf.einsum("bk,kij->bij", gains, _band_matrices(side)) for side in images.shape[1:3]
    )
    return apply_along_sides(images, down, right)


@cache
def band_filters() -> Any:
    """Make the symmetric filters of the four bands, lowest first, `(4, 43)`.

    Their sum is the identity. Each step moves the bands so far to half their frequencies, and adds
    a band of the highest frequencies.
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
    """Make the matrices that apply the band filters along a side, `(4, size, size)`."""
    filters = band_filters()
    taps = filters.shape[1]
    sources = np.arange(size)[:, np.newaxis] + np.arange(taps) - taps // 2
    return np.stack([reflection_matrix(sources, weights, size) for weights in filters])
