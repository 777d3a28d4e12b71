"""Consistency regularisation: the discriminator scores a picture and its moved copy alike.

Source: arXiv:1910.12027 (CR-GAN), section 3.1. Ours shifts by up to an eighth of the side, at least
a pixel, with the edge reflected, and mirrors only where the data may be mirrored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

LARGEST_SHIFT = 1 / 8


def inconsistency(scores: Any, moved_scores: Any) -> Any:
    """`(D(x) - D(T(x)))²`, scores of images and of their moved copies → same."""
    return tf.square(scores - moved_scores)


def moved(images: Any, moves: Any, *, mirror: bool) -> Any:
    """T(x): each image shifted, and mirrored left to right half of the time.

    Args:
        images: `(batch, height, width, channels)`.
        moves: Uniform draws from 0 to 1 `(batch, 3)`: how far down and to the right, and whether
            mirrored.
        mirror: Whether images are mirrored.
    """
    most = np.array([max(1, int(side * LARGEST_SHIFT)) for side in images.shape[1:3]], np.int32)
    shifts = tf.cast(tf.floor(moves[:, :2] * (2 * most + 1)), tf.int32) - most
    images = shifted(images, shifts[:, 0], shifts[:, 1])
    if mirror:
        chosen = moves[:, 2, tf.newaxis, tf.newaxis, tf.newaxis] < 0.5
        images = tf.where(chosen, tf.reverse(images, axis=[2]), images)
    return images


def shifted(images: Any, down: Any, right: Any) -> Any:
    """Each image moved by so many whole pixels, its edge reflected, `(batch, h, w, c)` → same.

    Args:
        images: Images to move.
        down: int32 `(batch,)`, smaller than the height.
        right: int32 `(batch,)`, smaller than the width.
    """
    rows = _sources(images.shape[1], down)
    columns = _sources(images.shape[2], right)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def _sources(size: int, shifts: Any) -> Any:
    """The pixel that each pixel comes from: `(batch,)` → `(batch, size)`."""
    positions = tf.abs(tf.range(size)[tf.newaxis] - shifts[:, tf.newaxis])
    return (size - 1) - tf.abs((size - 1) - positions)
