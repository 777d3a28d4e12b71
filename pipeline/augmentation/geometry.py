"""Geometry of ADA: mirror, rotate, move and scale images.

Source: arXiv:2006.06676, appendix B, and the official `augment.py`. Like the official code, ours
composes the affine maps of an image and samples it once, so moves that cancel lose nothing. Unlike
it, ours mirrors and turns by 90° exactly, by permuting pixels; the official code resamples with a
filter that is not quite symmetric, which blurs a little.
"""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.augmentation.draws import Chances
from pipeline.augmentation.resampling import resample
from pipeline.augmentation.separable import Array, apply_along_sides, reflect
from pipeline.config import GEOM
from pipeline.shape import Shape

LARGEST_SHIFT = 0.125  # Maximum shift by `xint`, as a share of the side.
SCALE_DEVIATION = ANISO_DEVIATION = 0.2
"""Standard deviation of the binary logarithm of the factors of `scale` and of `aniso`."""
MOVE_DEVIATION = 0.125  # Standard deviation of the shift by `xfrac`, as a share of the side.


def warp(images: Any, chances: Chances) -> Any:
    """Apply `blit`, then `geom`, to images `(batch, height, width, channels)`."""
    _, height, width, _ = images.shape
    if chances.any_of(("xflip", "rotate90")):
        mirrored = chances.where_applied("xflip", tf.floor(2.0 * chances.uniforms("xflip")), 0.0)
        quarters = tf.floor(4.0 * chances.uniforms("rotate90"))
        quarters = chances.where_applied("rotate90", quarters, 0.0)
        if height != width:  # A quarter turn would change the shape, so only half turns are left.
            quarters = 2.0 * tf.floor(quarters / 2.0)
        images = mirror_and_rotate(images, mirrored, quarters)
    if chances.any_of(GEOM):
        images = resample(images, *inverse_maps(chances, (height, width)))
    # Shift by whole pixels without resampling if `geom` is off: exact, and cheaper.
    elif chances.any_of(("xint",)):
        images = shift_by_pixels(images, _pixels_moved(chances, (height, width)))
    return images


def mirror_and_rotate(images: Any, mirrored: Any, quarters: Any) -> Any:
    """Mirror images left to right, then rotate them counter-clockwise by quarter turns.

    Args:
        images: Images `(batch, height, width, channels)`.
        mirrored: 1 for images to mirror, else 0, `(batch, 1)`.
        quarters: Number of quarter turns, 0 to 3, `(batch, 1)`; 0 or 2 unless images are square.
    """
    images = _where(mirrored == 1, tf.reverse(images, [2]), images)
    if images.shape[1] == images.shape[2]:
        images = _where(quarters % 2 == 1, tf.transpose(images, (0, 2, 1, 3)), images)
    images = _where((quarters == 1) | (quarters == 2), tf.reverse(images, [1]), images)
    return _where(quarters >= 2, tf.reverse(images, [2]), images)


def shift_by_pixels(images: Any, pixels: Any) -> Any:
    """Shift images by whole pixels `(batch, 2)` to the right and down; reflect the edges."""

    def matrices(side: int, moves: Any) -> Any:
        sources = tf.range(side) - tf.cast(moves, tf.int32)[:, tf.newaxis]
        return tf.one_hot(reflect(sources, side), side)

    _, height, width, _ = images.shape
    return apply_along_sides(images, matrices(height, pixels[:, 1]), matrices(width, pixels[:, 0]))


def inverse_maps(chances: Chances, shape: Shape) -> tuple[Any, Any]:
    """Compose the inverse maps of `xint`, `scale`, `rotate`, `aniso`, `rotate` and `xfrac`.

    Inverse maps, because sampling needs the source of each output pixel. Returns L `(batch, 2, 2)`
    and o `(batch, 2)`, as `resample` takes them.
    """
    scale = chances.factors("scale", SCALE_DEVIATION)
    aniso = chances.factors("aniso", ANISO_DEVIATION)
    angles = pi * (2.0 * chances.uniforms("rotate") - 1.0)
    # Rotate before and after `aniso`; the probability is that of at least one rotation.
    angles = chances.where_applied("rotate", angles, 0.0, times=2)
    deviation = MOVE_DEVIATION * _right_and_down(shape)
    shift = chances.where_applied("xfrac", deviation * chances.normals("xfrac"), 0.0)
    cosine, sine = tf.cos(angles), tf.sin(angles)
    rotations = tf.stack([tf.stack([cosine, -sine], -1), tf.stack([sine, cosine], -1)], -2)
    stretch = tf.concat([1.0 / (scale * aniso), aniso / scale], axis=1)
    linear = (rotations[:, 0] * stretch[:, tf.newaxis]) @ rotations[:, 1]
    return linear, -tf.linalg.matvec(linear, shift) - _pixels_moved(chances, shape)


def _pixels_moved(chances: Chances, shape: Shape) -> Any:
    """Return the shifts by `xint` to the right and down, in whole pixels, `(batch, 2)`."""
    largest = LARGEST_SHIFT * _right_and_down(shape)
    pixels = tf.round((2.0 * chances.uniforms("xint") - 1.0) * largest)
    return chances.where_applied("xint", pixels, 0.0)


def _right_and_down(shape: Shape) -> Array:
    height, width = shape
    return np.array([width, height], np.float32)


def _where(chosen: Any, changed: Any, images: Any) -> Any:
    return tf.where(chosen[..., tf.newaxis, tf.newaxis], changed, images)
