"""The resizes against formulas of their own, written as sums over single pixels."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.evaluation.features.resizing import (
    antialiased_bicubic,
    box_or_nearest,
    tensorflow1_bilinear,
)


def images(height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (2, height, width, channels)
    return np.random.default_rng(height).integers(0, 256, shape, np.uint8)


def along_both(pixels: np.ndarray, side: int, weights) -> np.ndarray:
    rows, columns = (weights(before, side) for before in pixels.shape[1:3])
    return np.einsum("Yy,nyxc,Xx->nYXc", rows, pixels.astype(np.float64), columns, optimize=True)


def tensorflow1_weights(before: int, after: int) -> np.ndarray:
    weights = np.zeros((after, before))
    step = np.float32(before) / np.float32(after)  # TensorFlow has positions in float32
    for new in range(after):
        at = float(np.float32(new) * step)
        first = int(at)
        weights[new, first] += 1 - (at - first)
        weights[new, min(first + 1, before - 1)] += at - first
    return weights


def bicubic_weights(before: int, after: int) -> np.ndarray:
    """Keys' kernel with a = -1/2, as wide as a new pixel is where there are fewer of them."""

    def kernel(x: float) -> float:
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    scale = before / after
    wide = max(scale, 1.0)
    weights = np.array(
        [
            [kernel((old + 0.5 - (new + 0.5) * scale) / wide) for old in range(before)]
            for new in range(after)
        ]
    )
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 8), (4, 64), (299, 299), (400, 305)])
def test_tensorflow1_bilinear_is_its_formula(height: int, width: int) -> None:
    pixels = images(height, width)
    resized = tensorflow1_bilinear(pixels, 299)
    assert resized.dtype == np.float32
    expected = along_both(pixels, 299, tensorflow1_weights)
    np.testing.assert_allclose(resized, expected, atol=1e-4)


def test_tensorflow1_bilinear_is_not_the_resize_of_today() -> None:
    pixels = images(32, 32)
    today = tf.image.resize(pixels, (299, 299)).numpy()
    assert np.abs(tensorflow1_bilinear(pixels, 299) - today).max() > 10


@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 16), (299, 299), (640, 305)])
def test_antialiased_bicubic_is_its_formula(height: int, width: int) -> None:
    pixels = images(height, width)
    resized = antialiased_bicubic(pixels, 299)
    assert resized.dtype == np.float32
    expected = along_both(pixels, 299, bicubic_weights).clip(0, 255)
    np.testing.assert_allclose(resized, expected, atol=2e-3)


def test_antialiased_bicubic_clips_what_overshoots() -> None:
    edge = np.zeros((1, 8, 8, 1), np.uint8)
    edge[:, :, 4:] = 255
    assert along_both(edge, 32, bicubic_weights).max() > 260
    assert (antialiased_bicubic(edge, 32).min(), antialiased_bicubic(edge, 32).max()) == (0, 255)


def test_box_or_nearest() -> None:
    pixels = images(8, 8, 1).astype(np.float32)
    smaller = pixels.reshape(2, 4, 2, 4, 2, 1).mean(axis=(2, 4))
    np.testing.assert_allclose(box_or_nearest(pixels, 4), smaller)
    larger = pixels.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(box_or_nearest(pixels, 16), larger)
    assert box_or_nearest(pixels, 8) is pixels
