"""Resampling by a filter against zero insertion, padding and correlation, pixel by pixel."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies
from scipy import signal

from layers.upfirdn import Blur, FIRDown2D, FIRUp2D, fir_up, upfirdn2d

LOPSIDED = [3.0, 1.0, -1.0, 2.0, 5.0]


def formula(x, taps, up=1, down=1, padding=(0, 0), gain=1.0):
    """Insert zeros, pad or crop, correlate with the mirrored kernel, and leave pixels out."""
    batch, height, width, channels = x.shape
    spread = np.zeros((batch, height * up, width * up, channels))
    spread[:, ::up, ::up] = x
    before, after = padding
    spread = np.pad(spread, ((0, 0), *2 * ((max(before, 0), max(after, 0)),), (0, 0)))
    for axis in (1, 2):
        kept = range(max(-before, 0), spread.shape[axis] - max(-after, 0))
        spread = spread.take(kept, axis=axis)
    kernel = np.outer(taps, taps)[::-1, ::-1] * gain / sum(taps) ** 2
    height, width = (side - len(taps) + 1 for side in spread.shape[1:3])
    y = np.zeros((batch, height, width, channels))
    for row, column in np.ndindex(kernel.shape):
        y += kernel[row, column] * spread[:, row : row + height, column : column + width]
    return y[:, ::down, ::down]


def up_formula(inputs, weights, factor=2, taps=(1.0, 3.0, 3.0, 1.0)):
    padding = {(2, 4): (2, 1), (3, 5): (3, 1)}[factor, len(taps)]
    return formula(inputs[0], taps, up=factor, padding=padding, gain=factor**2)


def down_formula(inputs, weights, factor=2, taps=(1.0, 3.0, 3.0, 1.0)):
    padding = {(2, 4): (1, 1), (3, 5): (1, 1)}[factor, len(taps)]
    return formula(inputs[0], taps, down=factor, padding=padding)


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((FIRUp2D, {}, [(2, 4, 3, 3)]), id="default"),
        pytest.param((FIRUp2D, {"factor": 3, "taps": LOPSIDED}, [(2, 3, 2, 1)]), id="thrice"),
    ],
    indirect=True,
)
def test_up_contract(run_layer_contract):
    run_layer_contract(up_formula)


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((FIRDown2D, {}, [(2, 8, 6, 3)]), id="default"),
        pytest.param((FIRDown2D, {"factor": 3, "taps": LOPSIDED}, [(2, 9, 6, 1)]), id="a third"),
    ],
    indirect=True,
)
def test_down_contract(run_layer_contract):
    run_layer_contract(down_formula)


def assert_it_is_its_formula(up, down, taps, padding):
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 3))
    options = {"up": up, "down": down, "padding": padding, "gain": 1.7}
    found = upfirdn2d(keras.ops.convert_to_tensor(x), taps, **options)
    np.testing.assert_allclose(found, formula(x, taps, **options), rtol=0, atol=1e-12)


@pytest.mark.parametrize(  # Every pair of rates, taps and padding.
    ("up", "down", "taps", "padding"),
    [
        (1, 1, (1,), (0, 0)),
        (1, 1, (1, 2), (2, 1)),
        (1, 1, (1, 2, 1), (-1, 2)),
        (1, 1, (1, 3, 3, 1), (3, -2)),
        (1, 1, LOPSIDED, (-1, -1)),
        (2, 1, (1,), (2, 1)),
        (2, 1, (1, 2), (-1, 2)),
        (2, 1, (1, 2, 1), (3, -2)),
        (2, 1, (1, 3, 3, 1), (-1, -1)),
        (2, 1, LOPSIDED, (0, 0)),
        (1, 2, (1,), (-1, 2)),
        (1, 2, (1, 2), (3, -2)),
        (1, 2, (1, 2, 1), (-1, -1)),
        (1, 2, (1, 3, 3, 1), (0, 0)),
        (1, 2, LOPSIDED, (2, 1)),
        (3, 2, (1,), (3, -2)),
        (3, 2, (1, 2), (-1, -1)),
        (3, 2, (1, 2, 1), (0, 0)),
        (3, 2, (1, 3, 3, 1), (2, 1)),
        (3, 2, LOPSIDED, (-1, 2)),
        (2, 3, (1,), (-1, -1)),
        (2, 3, (1, 2), (0, 0)),
        (2, 3, (1, 2, 1), (2, 1)),
        (2, 3, (1, 3, 3, 1), (-1, 2)),
        (2, 3, LOPSIDED, (3, -2)),
    ],
)
def test_the_function_is_its_formula(up, down, taps, padding):
    assert_it_is_its_formula(up, down, taps, padding)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    up=strategies.integers(1, 3),
    down=strategies.integers(1, 3),
    taps=strategies.lists(strategies.integers(1, 5), min_size=1, max_size=5),
    padding=strategies.tuples(strategies.integers(-1, 4), strategies.integers(-1, 4)),
)
def test_the_function_is_its_formula_whatever_the_settings(up, down, taps, padding):
    assert_it_is_its_formula(up, down, taps, padding)


@pytest.mark.parametrize(("up", "down"), [(2, 1), (3, 2)])
@pytest.mark.parametrize("taps", [(1, 3, 3, 1), LOPSIDED])
def test_fully_padded_it_is_upfirdn_of_scipy(up, down, taps):
    x = np.random.default_rng(0).normal(size=(1, 6, 5, 1))
    reach = len(taps) - 1
    found = upfirdn2d(tf.constant(x), taps, up=up, down=down, padding=(reach, reach - up + 1))
    row = np.array(taps) / sum(taps)
    rows = signal.upfirdn(row, x[0, :, :, 0], up, down, axis=0)
    expected = signal.upfirdn(row, rows, up, down, axis=1)
    np.testing.assert_allclose(found[0, :, :, 0], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "settings", [{"up": 2, "padding": (3, -1)}, {"down": 3, "padding": (0, 2)}]
)
def test_gradients_of_the_first_and_second_order(settings):
    """Of `f = sum(y³)`, and of the squared norm of its gradient, against finite differences."""
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 2))
    direction = np.random.default_rng(1).normal(size=x.shape)

    @tf.function
    def of(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = tf.reduce_sum(upfirdn2d(x, LOPSIDED, **settings) ** 3)
            first = inner.gradient(value, x)
            penalty = tf.reduce_sum(first**2)
        return value, first, penalty, outer.gradient(penalty, x)

    def cubes(x):
        return np.sum(formula(x, LOPSIDED, **settings) ** 3)

    _, first, _, second = of(tf.constant(x))
    step = 1e-5 * direction
    slope = (cubes(x + step) - cubes(x - step)) / 2e-5
    assert np.vdot(first, direction) == pytest.approx(slope, rel=1e-7)
    slope = (of(tf.constant(x + step))[2] - of(tf.constant(x - step))[2]) / 2e-5
    assert np.vdot(second, direction) == pytest.approx(float(slope), rel=1e-7)


def test_constants_stay_what_they_are_away_from_the_border():
    flat = np.full((1, 6, 6, 2), 3.0)
    up = FIRUp2D(dtype="float64")(flat).numpy()
    np.testing.assert_allclose(up[:, 2:-2, 2:-2], 3.0, atol=1e-14)
    down = FIRDown2D(dtype="float64")(flat).numpy()
    np.testing.assert_allclose(down[:, 1:-1, 1:-1], 3.0, atol=1e-14)


def test_it_is_as_even_as_its_taps():
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 1))
    for layer in (FIRUp2D(dtype="float64"), FIRDown2D(dtype="float64")):
        np.testing.assert_allclose(layer(x[:, ::-1, ::-1])[:, ::-1, ::-1], layer(x), atol=1e-14)


def test_images_keep_their_dtype():
    assert fir_up(tf.ones((1, 2, 2, 1), tf.bfloat16), (1, 3, 3, 1)).dtype == tf.bfloat16


@pytest.mark.parametrize("layer", [FIRUp2D, FIRDown2D])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": 0}, "`factor` must be at least 1. Received: factor=0"),
        ({"taps": ()}, r"`taps` must be given and not sum to zero. Received: taps=\(\)"),
        ({"taps": (1, -1)}, r"`taps` must be .* Received: taps=\(1.0, -1.0\)"),
    ],
)
def test_wrong_arguments_are_refused(layer, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        layer(**arguments)


@pytest.mark.parametrize("images", [np.zeros((1, 4, 5, 3)), keras.Input((4, 5, 3))])
def test_odd_sides_are_not_reduced(images):
    with pytest.raises(ValueError, match=r"multiples of 2.*Received: height=4, width=5"):
        FIRDown2D()(images)


def blur_formula(inputs, weights, taps=(1.0, 2.0, 1.0)):
    (x,) = inputs
    (_, height, width, _), reach = x.shape, len(taps) // 2
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    y = np.zeros_like(x)
    for row, column in np.ndindex(len(taps), len(taps)):
        tap = taps[row] * taps[column] / sum(taps) ** 2
        y += tap * padded[:, row : row + height, column : column + width]
    return y


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((Blur, {}, [(2, 4, 6, 3)]), id="default"),
        pytest.param((Blur, {"taps": [1.0, 2.0, 5.0, 3.0, 4.0]}, [(2, 6, 5, 1)]), id="lopsided"),
    ],
    indirect=True,
)
def test_blur_contract(run_layer_contract):
    run_layer_contract(blur_formula)


def test_blur_is_a_same_convolution_of_scipy():
    image = np.random.default_rng(0).normal(size=(9, 7))
    kernel = np.outer([1, 3, 5, 3, 1], [1, 3, 5, 3, 1]) / 13**2
    ours = Blur((1, 3, 5, 3, 1), dtype="float64")(image[None, :, :, None])[0, :, :, 0]
    np.testing.assert_allclose(ours, signal.convolve2d(image, kernel, mode="same"), atol=1e-14)


def test_blur_preserves_constants_inside_and_the_mean():
    blur = Blur(dtype="float64")
    flat = blur(np.full((1, 6, 6, 2), 3.0)).numpy()
    np.testing.assert_allclose(flat[:, 1:-1, 1:-1], 3.0, atol=1e-14)
    framed = np.pad(np.random.default_rng(0).normal(size=(1, 4, 4, 2)), 1)[1:2, ..., 1:3]
    np.testing.assert_allclose(
        blur(framed).numpy().mean(axis=(1, 2)), framed.mean(axis=(1, 2)), atol=1e-14
    )


@pytest.mark.parametrize("taps", [(1.0, 1.0), (1.0, -2.0, 1.0), ()])
def test_wrong_taps_of_a_blur_are_refused(taps):
    with pytest.raises(ValueError, match=r"`taps` must be odd in number.*Received: taps=\("):
        Blur(taps)
