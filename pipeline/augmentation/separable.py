"""Separable linear maps of images, `M · X · Nᵀ` for each channel X, and reflection of edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Array = npt.NDArray[np.float32]


def apply_along_sides(images: Any, down: Any, right: Any) -> Any:
    """Apply the matrix `down` along the height of images, and `right` along the width.

    Each matrix is `(new side, side)`, or has one per sample, `(batch, new side, side)`.
    """
    return _along_other_side(_along_other_side(images, right), down)


def _along_other_side(images: Any, matrix: Any) -> Any:
    """Apply a matrix along the width, and swap width and height."""
    # Multiply instead of gathering: gradients of products, of every order, are fast products.
    _, height, width, channels = images.shape
    columns = tf.reshape(tf.transpose(images, (0, 2, 1, 3)), (-1, width, height * channels))
    return tf.reshape(tf.matmul(matrix, columns), (-1, matrix.shape[-2], height, channels))


def reflect(positions: Any, size: int) -> Any:
    """Reflect integer positions into a side: `… 2 1 0 1 2 …`, without repeating edge pixels."""
    return (size - 1) - abs((size - 1) - positions % (2 * (size - 1)))


def reflection_matrix(sources: Any, weights: Any, size: int) -> Array:
    """Make the matrix `(outputs, size)` of weighted sums over pixels of a reflected side.

    `sources` are positions `(outputs, taps)`, also outside the side; `weights` broadcast to them.
    """
    matrix = np.zeros((len(sources), size))
    outputs = np.arange(len(sources))[:, np.newaxis]
    # Add instead of assigning: several taps may be reflected onto one pixel.
    np.add.at(matrix, (outputs, reflect(sources, size)), weights)
    return matrix.astype(np.float32)
