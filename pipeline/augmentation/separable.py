"""Linear maps along the sides of images: `M · X · Nᵀ` for each channel X."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Array = npt.NDArray[np.float32]


def apply_along_sides(images: Any, down: Any, right: Any) -> Any:
    """Apply matrices `(new side, side)`, or one per sample, along height and width of images."""
    return _along_other_side(_along_other_side(images, right), down)


def _along_other_side(images: Any, matrix: Any) -> Any:
    """Apply a matrix along the width, and swap width and height."""
    # Gradients of products, of every order, are products; those of gathers are sums by index.
    _, height, width, channels = images.shape
    columns = tf.reshape(tf.transpose(images, (0, 2, 1, 3)), (-1, width, height * channels))
    return tf.reshape(tf.matmul(matrix, columns), (-1, matrix.shape[-2], height, channels))


def reflect(positions: Any, size: int) -> Any:
    """Reflect integer positions endlessly into a side: `… 2 1 0 1 2 …`, no edge pixel twice."""
    return (size - 1) - abs((size - 1) - positions % (2 * (size - 1)))


def reflection_matrix(sources: Any, weights: Any, size: int) -> Array:
    """Matrix `(outputs, size)` of weighted sums over pixels of an endlessly reflected side.

    The positions `sources` are `(outputs, taps)`, and `weights` broadcast to them.
    """
    matrix = np.zeros((len(sources), size))
    outputs = np.arange(len(sources))[:, np.newaxis]
    # Not an assignment: reflected taps may meet on one pixel.
    np.add.at(matrix, (outputs, reflect(sources, size)), weights)
    return matrix.astype(np.float32)
