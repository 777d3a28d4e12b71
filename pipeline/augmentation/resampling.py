"""Images under affine maps, sampled without aliasing.

Images, endlessly reflected at their edges, are enlarged twice by a wavelet filter, sampled
bilinearly, and reduced by the same filter reversed. The filter is orthogonal: a map that moves by
whole pixels, and so the identity, is exact.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`. There images are padded as far
as the largest map of the batch reaches, and at most by their own size, beyond which lies grey. Ours
hold a whole period of the endless reflection instead: nothing depends on other images of the
batch, and images smaller than the filter work too. There the filter counts as symmetric, so that
an image that is turned by 180° moves by 0.4 pixels; ours stays where it is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.augmentation.separable import Array, along_sides, reflecting

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263748278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
"""The low-pass filter of Daubechies' least asymmetric wavelet with six vanishing moments."""

_TAPS = np.array(SYM6) / sum(SYM6)
_SKEW = round(32 * float(np.arange(len(SYM6)) @ _TAPS - (len(SYM6) - 1) / 2)) / 32
"""From the middle of the filter to its centre of mass, in fine pixels: -0.4.

A multiple of 1/32, so that positions under the identity are exact in float32.
"""
_MARGIN = (len(SYM6) - 2) // 2
"""Fine pixels beyond the edge that a reduced image takes."""


def resampled(images: Any, linear: Any, offset: Any) -> Any:
    """`y(q) = x(L q + o)`, with positions in pixels from the image's centre, x to the right.

    Args:
        images: x, float32 `(batch, height, width, channels)`.
        linear: L, `(batch, 2, 2)`.
        offset: o, `(batch, 2)`: to the right and down.

    Returns:
        y, of the images' shape.
    """
    _, height, width, _ = images.shape
    fine = along_sides(images, _enlargement(height), _enlargement(width))
    steps_right, steps_down = _steps(width), _steps(height)[:, np.newaxis]
    right, down = (
        linear[:, row, 0, tf.newaxis, tf.newaxis] * steps_right
        + linear[:, row, 1, tf.newaxis, tf.newaxis] * steps_down
        # The centre of the image, in fine pixels from the first of the period.
        + (2 * offset[:, row, tf.newaxis, tf.newaxis] + (side - 0.5 + _SKEW))
        for row, side in enumerate((width, height))
    )
    sampled = _bilinear(fine, right, down)
    return along_sides(sampled, _reduction(height), _reduction(width))


def _steps(side: int) -> Array:
    """Positions of the fine pixels from their centre."""
    count = 2 * (side + _MARGIN)
    return np.arange(count, dtype=np.float32) - np.float32((count - 1) / 2 + _SKEW)


def _bilinear(fine: Any, right: Any, down: Any) -> Any:
    """Samples of periodic images at positions in their pixels.

    Args:
        fine: Their periods, `(batch, rows, columns, channels)`.
        right: Pixels to the right, `(batch, height, width)`.
        down: Pixels downwards, as `right`.

    Returns:
        `(batch, height, width, channels)`.
    """
    _, height, width, channels = fine.shape
    pixels = tf.reshape(fine, (-1, height * width, channels))
    columns, rows = _neighbours(right, width), _neighbours(down, height)
    return tf.add_n(
        [
            tf.gather(pixels, row * width + column, batch_dims=1)
            * (row_share * column_share)[..., tf.newaxis]
            for row, row_share in rows
            for column, column_share in columns
        ]
    )


def _neighbours(positions: Any, period: int) -> list[tuple[Any, Any]]:
    """The pixels on both sides of positions, and their shares."""
    first = tf.floor(positions)
    share = positions - first
    pixel = tf.cast(first, tf.int32) % period
    return [(pixel, 1.0 - share), ((pixel + 1) % period, share)]


@cache
def _enlargement(size: int) -> Array:
    """A period of the reflected side, twice as fine: `(4 (size - 1), size)`.

    Pixel i lies between the fine pixels 2i and 2i + 1, at 2i + 0.5 + `_SKEW`.
    """
    fine = np.arange(4 * (size - 1))[:, np.newaxis]
    # Every other fine pixel is a zero before the filter.
    among_zeros = fine + _MARGIN - np.arange(len(_TAPS))
    weights = np.where(among_zeros % 2 == 0, 2 * _TAPS, 0.0)
    return reflecting(among_zeros // 2, weights, size)


@cache
def _reduction(size: int) -> Array:
    """The side, from twice as fine pixels that begin `_MARGIN` before it: `(size, fine pixels)`."""
    matrix = np.zeros((size, 2 * (size + _MARGIN)))
    for pixel, row in enumerate(matrix):
        row[2 * pixel : 2 * pixel + len(_TAPS)] = _TAPS
    return matrix.astype(np.float32)
