"""Geometry of augmentation: images mirrored, turned, moved and scaled.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`. As there, all maps of an image
are composed into one, so that it is sampled once and moves that cancel lose nothing. Turns by
90° and mirroring are permutations of the pixels here: exact, where the official filter, which is
not quite symmetric, blurs a little.
"""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.augmentation.draws import Chances
from pipeline.augmentation.resampling import resampled
from pipeline.augmentation.separable import Array, along_sides, reflected
from pipeline.config import GEOM
from pipeline.shape import Shape

MOST_MOVED = 0.125
"""Share of the side by which `xint` moves at most."""
SCALE_DEVIATION = 0.2
"""Standard deviation of the binary logarithm of `scale`."""
ANISO_DEVIATION = 0.2
"""Standard deviation of the binary logarithm of `aniso`."""
MOVE_DEVIATION = 0.125
"""Standard deviation of `xfrac`, as a share of the side."""


def warped(images: Any, chances: Chances) -> Any:
    """Images `(batch, height, width, channels)` → same: `blit`, then `geom`."""
    _, height, width, _ = images.shape
    if chances.any_of(("xflip", "rotate90")):
        mirrored, quarters = _turns(chances)
        if height != width:  # A quarter turn would change the shape: half turns take its place.
            quarters = 2.0 * tf.floor(quarters / 2.0)
        images = turned(images, mirrored, quarters)
    if chances.any_of(GEOM):
        images = resampled(images, *inverse_maps(chances, (height, width)))
    elif chances.any_of(("xint",)):
        images = moved(images, _pixels_moved(chances, (height, width)))
    return images


def turned(images: Any, mirrored: Any, quarters: Any) -> Any:
    """Images mirrored left to right, then turned counter-clockwise.

    Args:
        images: `(batch, height, width, channels)`.
        mirrored: 0 or 1, `(batch, 1)`.
        quarters: Turns by 90°, from 0 to 3, `(batch, 1)`; 0 or 2 unless images are squares.
    """
    images = _where(mirrored == 1, tf.reverse(images, [2]), images)
    if images.shape[1] == images.shape[2]:
        images = _where(quarters % 2 == 1, tf.transpose(images, (0, 2, 1, 3)), images)
    images = _where((quarters == 1) | (quarters == 2), tf.reverse(images, [1]), images)
    return _where(quarters >= 2, tf.reverse(images, [2]), images)


def moved(images: Any, pixels: Any) -> Any:
    """Images moved by whole pixels, with their edges reflected.

    Args:
        images: `(batch, height, width, channels)`.
        pixels: Pixels to the right and down, `(batch, 2)`.
    """

    def matrices(side: int, moves: Any) -> Any:
        sources = tf.range(side) - tf.cast(moves, tf.int32)[:, tf.newaxis]
        return tf.one_hot(reflected(sources, side), side)

    _, height, width, _ = images.shape
    return along_sides(images, matrices(height, pixels[:, 1]), matrices(width, pixels[:, 0]))


def inverse_maps(chances: Chances, shape: Shape) -> tuple[Any, Any]:
    """Return the source of each pixel: L and o of `q → L q + o`, positions as in `resampled`.

    The composition of the inverses of: `xint`, `scale`, `rotate`, `aniso`, `rotate`, `xfrac`.

    Returns:
        `(batch, 2, 2)` and `(batch, 2)`.
    """
    scale = chances.applied("scale", 2.0 ** (SCALE_DEVIATION * chances.normals("scale")), 1.0)
    aniso = chances.applied("aniso", 2.0 ** (ANISO_DEVIATION * chances.normals("aniso")), 1.0)
    angles = pi * (2.0 * chances.uniforms("rotate") - 1.0)
    # One turn comes before, one after; each so rarely that one of them has the probability.
    angles = chances.applied("rotate", angles, 0.0, times=2)
    deviation = MOVE_DEVIATION * _right_and_down(shape)
    shift = chances.applied("xfrac", deviation * chances.normals("xfrac"), 0.0)
    cosine, sine = tf.cos(angles), tf.sin(angles)
    rotations = tf.stack([tf.stack([cosine, -sine], -1), tf.stack([sine, cosine], -1)], -2)
    stretch = tf.concat([1.0 / (scale * aniso), aniso / scale], axis=1)
    linear = (rotations[:, 0] * stretch[:, tf.newaxis]) @ rotations[:, 1]
    return linear, -tf.linalg.matvec(linear, shift) - _pixels_moved(chances, shape)


def _turns(chances: Chances) -> tuple[Any, Any]:
    """Return whether images are mirrored, and their turns by 90°, `(batch, 1)` each."""
    return (
        chances.applied("xflip", tf.floor(2.0 * chances.uniforms("xflip")), 0.0),
        chances.applied("rotate90", tf.floor(4.0 * chances.uniforms("rotate90")), 0.0),
    )


def _pixels_moved(chances: Chances, shape: Shape) -> Any:
    """To the right and down, in whole pixels, `(batch, 2)`."""
    most = MOST_MOVED * _right_and_down(shape)
    pixels = tf.round((2.0 * chances.uniforms("xint") - 1.0) * most)
    return chances.applied("xint", pixels, 0.0)


def _right_and_down(shape: Shape) -> Array:
    height, width = shape
    return np.array([width, height], np.float32)


def _where(chosen: Any, changed: Any, images: Any) -> Any:
    return tf.where(chosen[..., tf.newaxis, tf.newaxis], changed, images)
