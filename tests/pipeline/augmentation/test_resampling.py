"""Sampling under affine maps, against SciPy, and against functions whose values are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import tensorflow as tf

from pipeline.augmentation.resampling import SYM6, resample
from tests.pipeline.augmentation.alone import Array, normals

TAPS = np.array(SYM6) / np.sum(SYM6)
MAPS = {
    "identity": (np.eye(2), (0, 0)),
    "moved": (np.eye(2), (2, -3)),
    "scaled and turned": (np.array([[0.8, -0.5], [0.4, 1.2]]), (0.7, -1.3)),
    "far outside": (np.array([[2.5, 0.2], [-0.7, 1.9]]), (20.3, -31.8)),
}


def resampled_by_hand(image: Array, linear: Array, offset: Array) -> Array:
    """Reflect, enlarge by upfirdn, interpolate, filter and take every other pixel."""
    height, width = image.shape[:2]
    pad = 12 * max(height, width)
    padded = np.pad(image.astype(np.float64), ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    fine = padded
    for axis in (0, 1):
        fine = scipy.signal.upfirdn(2 * TAPS, fine, up=2, axis=axis)
    # upfirdn delays: pixel i lies where the filter has its centre of mass, from 2i on.
    delay = np.round(np.average(np.arange(12), weights=TAPS) * 32) / 32
    x, y = np.meshgrid(
        *((np.arange(2 * side + 10) - delay) / 2 - (side - 1) / 2 for side in (width, height))
    )
    right, down = (
        2 * (row[0] * x + row[1] * y + o + (side - 1) / 2 + pad) + delay
        for row, o, side in zip(linear, offset, (width, height), strict=True)
    )
    sampled = np.stack(
        [
            scipy.ndimage.map_coordinates(channel, [down, right], order=1)
            for channel in fine.T.swapaxes(1, 2)
        ],
        axis=-1,
    )
    for axis in (0, 1):
        sampled = np.apply_along_axis(
            lambda line: np.correlate(line, TAPS, "valid")[::2], axis, sampled
        )
    return sampled


def run(images: Array, linear: Array, offset: Array) -> Array:
    return resample(
        tf.constant(images), tf.constant(linear, tf.float32), tf.constant(offset, tf.float32)
    ).numpy()


@pytest.mark.parametrize("shape", [(4, 4), (8, 8), (16, 16), (6, 10), (14, 7)])
def test_it_is_what_scipy_computes(shape: tuple[int, int]) -> None:
    images = normals(len(MAPS), *shape, 2)
    linear, offset = (np.stack(parts) for parts in zip(*MAPS.values(), strict=True))
    found = run(images, linear, offset)
    for image, one, matrix, shift in zip(images, found, linear, offset, strict=True):
        np.testing.assert_allclose(one, resampled_by_hand(image, matrix, shift), atol=1e-5)


@pytest.mark.parametrize("size", [4, 16, 64])
def test_moves_by_whole_pixels_are_exact_and_reflect_without_end(size: int) -> None:
    images = normals(3, size, size, 3)
    offset = np.array([[0, 0], [1 - size, 2], [3 * size + 1, -size]])
    found = run(images, np.stack([np.eye(2)] * 3), offset)
    pad = 4 * size
    for image, one, (right, down) in zip(images, found, offset, strict=True):
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
        expected = padded[pad + down :, pad + right :][:size, :size]
        np.testing.assert_allclose(one, expected, atol=2e-6)


def test_a_smooth_picture_goes_where_the_map_says() -> None:
    size, width = 32, 3.0

    def blob(x: Array, y: Array) -> Array:
        return np.exp(-((x - 2) ** 2 + 2 * (y + 3) ** 2) / (2 * width**2))

    grid = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(grid, grid)
    linear, offset = np.array([[0.9, -0.3], [0.4, 1.1]]), np.array([1.5, -0.75])
    found = run(blob(x, y)[None, ..., None].astype(np.float32), linear[None], offset[None])
    expected = blob(
        linear[0, 0] * x + linear[0, 1] * y + offset[0],
        linear[1, 0] * x + linear[1, 1] * y + offset[1],
    )
    # Bilinear sampling takes 0.8 % of the top; a filter taken for symmetric would be off by 0.036.
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=0.01)


def test_a_picture_made_smaller_does_not_alias() -> None:
    # Every second pixel of a checkerboard would be of one colour.
    size = 16
    board = np.indices((size, size)).sum(0) % 2 * 2.0 - 1.0
    found = run(board[None, ..., None].astype(np.float32), 2 * np.eye(2)[None], np.zeros((1, 2)))
    assert np.abs(found).max() < 0.05


def test_the_filter_is_orthogonal_and_has_six_vanishing_moments() -> None:
    for shift in range(1, 6):
        assert abs((TAPS[: -2 * shift] * TAPS[2 * shift :]).sum()) < 1e-7
    assert 2 * (TAPS**2).sum() == pytest.approx(1, abs=1e-6)
    signs, steps = (-1.0) ** np.arange(12), np.arange(12) - 5.5
    for moment in range(6):
        terms = signs * TAPS * steps**moment
        assert abs(terms.sum()) < 1e-6 * max(1, np.abs(terms).sum())
