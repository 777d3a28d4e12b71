"""Consistency regularisation: an image and its shifted copy should get the same score.

Source: arXiv:1910.12027 (CR-GAN), section 3.1. Our largest shift is an eighth of the side, but at
least one pixel. Edges are reflected, and images are mirrored only if the data allow it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

LARGEST_SHIFT = 1 / 8  # Maximum shift in each direction, as a share of the side.


def inconsistency(scores: Any, moved_scores: Any) -> Any:
    """Loss `(D(x) - D(T(x)))²`, from the scores of images and of their shifted copies."""
    return tf.square(scores - moved_scores)


def shift_and_mirror(images: Any, moves: Any, *, mirror: bool) -> Any:
    """Apply T: shift each image `(batch, height, width, channels)`; with `mirror`, mirror half.

    `moves` are uniform draws from 0 to 1, `(batch, 3)`: shift down, shift to the right, mirroring.
    """
    # Shift by at least a pixel: below 8 px an eighth is less.
    largest = np.array([max(1, int(side * LARGEST_SHIFT)) for side in images.shape[1:3]], np.int32)
    shifts = tf.cast(tf.floor(moves[:, :2] * (2 * largest + 1)), tf.int32) - largest
    images = shift_images(images, shifts[:, 0], shifts[:, 1])
    if mirror:
        chosen = moves[:, 2, tf.newaxis, tf.newaxis, tf.newaxis] < 0.5
        images = tf.where(chosen, tf.reverse(images, axis=[2]), images)
    return images


def shift_images(images: Any, down: Any, right: Any) -> Any:
    """Shift images by whole pixels, int32 `(batch,)`, less than the side; reflect the edges."""
    rows = _sources(images.shape[1], down)
    columns = _sources(images.shape[2], right)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def _sources(size: int, shifts: Any) -> Any:
    """Return the source index of each pixel along a side: shifts `(batch,)` → `(batch, size)`."""
    # Reflect once at each edge, which is enough for shifts smaller than the side.
    positions = tf.abs(tf.range(size)[tf.newaxis] - shifts[:, tf.newaxis])
    return (size - 1) - tf.abs((size - 1) - positions)
