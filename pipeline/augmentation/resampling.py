"""Resampling of images by affine maps, without aliasing; used by ADA's `geom` transforms.

Images are extended without end by reflection at their edges. They are enlarged by 2 with a wavelet
filter, sampled bilinearly, and reduced by 2 with the same filter reversed. The filter is
orthogonal, so shifts by whole pixels, including the identity, are exact. Pixels of the enlarged
image are called fine pixels below.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`, with two differences. The
official code pads by reflection as far as the largest map of the batch needs, at most by the size
of the image; farther pixels are grey. Ours samples a whole period of the reflection, so an image
does not depend on the rest of its batch, and images smaller than the filter work. The official code
treats the filter as symmetric, so an image turned by 180° moves by 0.4 pixels; ours stays in place.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.augmentation.separable import Array, apply_along_sides, reflection_matrix

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
"""Low-pass filter of Daubechies' least asymmetric wavelet with six vanishing moments."""

_TAPS = np.array(SYM6) / sum(SYM6)
# Round to 1/32, so that positions under the identity are exact in float32.
_SKEW = round(32 * float(np.arange(len(SYM6)) @ _TAPS - (len(SYM6) - 1) / 2)) / 32
"""Distance from the middle of the filter to its centre of mass, in fine pixels: about -0.4."""
_MARGIN = (len(SYM6) - 2) // 2  # Number of fine pixels beyond each edge that the reduction reads.


def resample(images: Any, linear: Any, offset: Any) -> Any:
    """Resample images x to `y(q) = x(L q + o)`; q is (right, down) from the centre, in pixels.

    Args:
        images: Images x, float32 `(batch, height, width, channels)`.
        linear: Matrices L, `(batch, 2, 2)`.
        offset: Offsets o to the right and down, `(batch, 2)`.
    """
    _, height, width, _ = images.shape
    fine = apply_along_sides(images, _enlargement(height), _enlargement(width))
    steps_right, steps_down = _steps(width), _steps(height)[:, np.newaxis]
    right, down = (
        linear[:, row, 0, tf.newaxis, tf.newaxis] * steps_right
        + linear[:, row, 1, tf.newaxis, tf.newaxis] * steps_down
        # Add the offset and the centre of the image, in fine pixels from the period's first one.
        + (2 * offset[:, row, tf.newaxis, tf.newaxis] + (side - 0.5 + _SKEW))
        for row, side in enumerate((width, height))
    )
    sampled = _bilinear(fine, right, down)
    return apply_along_sides(sampled, _reduction(height), _reduction(width))


def _steps(side: int) -> Array:
    """Return the positions of the fine pixels to sample, relative to their centre."""
    count = 2 * (side + _MARGIN)
    return np.arange(count, dtype=np.float32) - np.float32((count - 1) / 2 + _SKEW)


def _bilinear(fine: Any, right: Any, down: Any) -> Any:
    """Sample images that repeat periodically, bilinearly, at positions `(batch, height, width)`."""
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
    """Return the indices of the pixels on both sides of each position, with their weights."""
    first = tf.floor(positions)
    share = positions - first
    pixel = tf.cast(first, tf.int32) % period  # The reflection repeats.
    return [(pixel, 1.0 - share), ((pixel + 1) % period, share)]


@cache
def _enlargement(size: int) -> Array:
    """Make the matrix that enlarges a side to one period of its reflection, `(4 (size - 1), size)`.

    Pixel i lies between the fine pixels 2i and 2i + 1, at 2i + 0.5 + `_SKEW`.
    """
    fine = np.arange(4 * (size - 1))[:, np.newaxis]
    # Before it is filtered, the enlarged side has a zero after each pixel.
    among_zeros = fine + _MARGIN - np.arange(len(_TAPS))
    weights = np.where(among_zeros % 2 == 0, 2 * _TAPS, 0.0)
    return reflection_matrix(among_zeros // 2, weights, size)


@cache
def _reduction(size: int) -> Array:
    """Make the matrix that reduces fine pixels, from `_MARGIN` before the edge, to a side."""
    matrix = np.zeros((size, 2 * (size + _MARGIN)))
    for pixel, row in enumerate(matrix):
        row[2 * pixel : 2 * pixel + len(_TAPS)] = _TAPS
    return matrix.astype(np.float32)
