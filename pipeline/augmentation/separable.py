"""Images under linear maps of their sides: `M · X · Nᵀ` of each channel X.

Written as matrix products, whose gradients of every order are matrix products; those of gathers
are sums by index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Array = npt.NDArray[np.float32]


def along_sides(images: Any, down: Any, right: Any) -> Any:
    """`(batch, height, width, channels) → (batch, new height, new width, channels)`.

    Args:
        images: Images to map.
        down: Matrix for columns of pixels: `(new height, height)`, or one a sample.
        right: Matrix for rows: `(new width, width)`, or one a sample.
    """
    return _along_other_side(_along_other_side(images, right), down)


def _along_other_side(images: Any, matrix: Any) -> Any:
    """The matrix along the width, which changes places with the height."""
    _, height, width, channels = images.shape
    columns = tf.reshape(tf.transpose(images, (0, 2, 1, 3)), (-1, width, height * channels))
    return tf.reshape(tf.matmul(matrix, columns), (-1, matrix.shape[-2], height, channels))


def reflected(positions: Any, size: int) -> Any:
    """The pixel of a side, of integers, that an endless reflection has at these positions.

    The pixel at the edge is not repeated: `… 2 1 0 1 2 …`.
    """
    return (size - 1) - abs((size - 1) - positions % (2 * (size - 1)))


def reflecting(sources: Any, weights: Any, size: int) -> Array:
    """The matrix `(outputs, size)` of sums over pixels of an endlessly reflected side.

    Args:
        sources: Positions of the pixels, `(outputs, taps)`.
        weights: Weights of the pixels, of the same shape, or to be repeated to it.
        size: Size of the side.
    """
    matrix = np.zeros((len(sources), size))
    outputs = np.arange(len(sources))[:, np.newaxis]
    np.add.at(matrix, (outputs, reflected(sources, size)), weights)
    return matrix.astype(np.float32)
