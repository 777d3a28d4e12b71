"""Modulated convolution: its formula sample by sample, and both forms of it alike."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import signal

from layers.equalized import EqualizedConv2D
from layers.modulated import ModulatedConv2D

TAPS = [1.0, 3.0, 3.0, 1.0]
HE_GAIN = math.sqrt(2)


def formula(
    inputs,
    weights,
    filters,
    kernel_size=3,
    demodulate=True,
    modulation="features",
    epsilon=1e-8,
    resample=None,
    taps=None,
    fused=True,
    gain=HE_GAIN,
    bias_gain=1.0,
):
    """A kernel of its own for every sample, correlated tap by tap."""
    x, styles = inputs
    kernel, reach = weights["kernel"], kernel_size // 2
    if resample == "up":  # SciPy gives every pixel that the filter reaches.
        row = 2 * np.array(taps) / sum(taps)
        x = signal.upfirdn(row, signal.upfirdn(row, x, up=2, axis=1), up=2, axis=2)
    else:
        x = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    height, width = (side - kernel_size + 1 for side in x.shape[1:3])
    y = np.zeros((len(x), height, width, filters))
    for image, style, pixels in zip(x, styles, y, strict=True):
        own = kernel * (1 + style)[:, None]
        if demodulate:
            own = own / np.sqrt(np.sum(own**2, axis=(0, 1, 2)) + epsilon)
        else:
            own = own / math.sqrt(kernel[..., 0].size)
        for row, column in np.ndindex(kernel_size, kernel_size):
            pixels += image[row : row + height, column : column + width] @ own[row, column]
    return gain * y + bias_gain * weights["bias"]


def case(name, sides=(4, 6), **config):
    shapes = [(3, *sides, 5), (3, 5)]
    return pytest.param((ModulatedConv2D, {"filters": 4, **config}, shapes), id=name)


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        case("default"),
        case("up", (3, 2), resample="up", taps=TAPS, bias_gain=1.5),
        case("kernels up", (3, 2), modulation="kernels", resample="up", taps=TAPS, epsilon=0.1),
        case("to rgb", kernel_size=1, demodulate=False, gain=1.0),
    ],
    indirect=True,
)
def test_contract(run_layer_contract):
    run_layer_contract(formula)


def modulated(modulation, fused, resample, demodulate):
    layer = ModulatedConv2D(
        6,
        demodulate=demodulate,
        modulation=modulation,
        resample=resample,
        taps=TAPS,
        fused=fused,
        dtype="float64",
    )
    layer.build([(3, 4, 4, 5), (3, 5)])
    layer.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in layer.weights])
    return layer


def features_and_styles():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(3, 4, 4, 5)), rng.normal(size=(3, 5))]


def assert_all_close(results, expected):
    for ours, theirs in zip(results, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())


UNFUSED = ("features", False)
OTHERS = [("features", True), ("kernels", True)]
both_ways = pytest.mark.parametrize(("resample", "demodulate"), [("up", True), ("down", False)])


@both_ways
def test_both_modulations_agree_to_the_second_order(gradients, resample, demodulate):
    def results(modulation, fused):
        layer, inputs = modulated(modulation, fused, resample, demodulate), features_and_styles()
        found = gradients(layer, inputs)
        return [layer(inputs), *found.first, *found.second]

    expected = results(*UNFUSED)
    for other in OTHERS:
        assert_all_close(results(*other), expected)


@pytest.mark.slow
@both_ways
def test_both_modulations_agree_to_the_second_order_in_a_compiled_step(resample, demodulate):
    x, styles = map(tf.constant, features_and_styles())

    def results(modulation, fused):
        layer = modulated(modulation, fused, resample, demodulate)
        weights = [weight.value for weight in layer.trainable_weights]

        @tf.function
        def of(x, styles):
            with tf.GradientTape() as outer:
                outer.watch([x, styles])
                with tf.GradientTape() as inner:
                    inner.watch([x, styles])
                    y = layer([x, styles])
                    value = tf.reduce_sum(tf.sin(y))
                first = inner.gradient(value, [x, styles])
                penalty = tf.add_n([tf.reduce_sum(g**2) for g in first])
            sources = [x, styles, *weights]
            second = outer.gradient(penalty, sources, unconnected_gradients="zero")
            return [y, *first, *second]

        return of(x, styles)

    expected = results(*UNFUSED)
    for other in OTHERS:
        assert_all_close(results(*other), expected)


@pytest.mark.parametrize("modulation", ["features", "kernels"])
def test_outputs_keep_their_spread_whatever_the_style(modulation):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 16, 16, 64)).astype("float32")
    styles = (10.0 ** np.arange(-1, 3)[:, None] * rng.normal(size=(4, 64)) - 1).astype("float32")
    layer = ModulatedConv2D(64, gain=1.0, modulation=modulation, seed=0)
    y = layer([x, styles]).numpy()[:, 1:-1, 1:-1]
    np.testing.assert_allclose(y.std(axis=(1, 2, 3)), 1.0, atol=0.1)


@pytest.mark.parametrize("modulation", ["features", "kernels"])
def test_large_styles_and_kernels_do_not_overflow_half_precision(modulation):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 8, 8, 64)).astype("float16")
    styles = 1e4 * rng.normal(size=(2, 64)).astype("float32")
    kernel = 1e3 * rng.normal(size=(3, 3, 64, 8))
    half, single = (
        ModulatedConv2D(8, modulation=modulation, use_bias=False, dtype=dtype)
        for dtype in ("mixed_float16", "float32")
    )
    for layer in (half, single):
        layer.build([x.shape, styles.shape])
        layer.set_weights([kernel])
    expected = single([x.astype("float32"), styles]).numpy()
    error = np.abs(half([x, styles]).numpy().astype("float32") - expected).max()
    assert error < 8 * np.finfo("float16").eps * np.abs(expected).max()


def test_styles_are_not_rounded_before_their_squares_are_summed():
    """A style that bfloat16 would round to 0 all the same counts as 2^-10."""
    x, styles = np.ones((1, 1, 1, 2)), np.array([[2.0**-10 - 1, -1.0]], "float32")
    layer = ModulatedConv2D(1, 1, epsilon=0.0, gain=1.0, dtype="mixed_bfloat16")
    layer.build([x.shape, styles.shape])
    layer.set_weights([np.ones((1, 1, 2, 1)), np.zeros(1)])
    assert float(layer([x, styles])[0, 0, 0, 0]) == 1.0


def test_no_style_without_demodulation_is_the_equalized_convolution():
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    layer = ModulatedConv2D(5, demodulate=False, seed=1, dtype="float64")
    y = layer([x, np.zeros((2, 3))])
    plain = EqualizedConv2D(5, 3, dtype="float64")
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(y, plain(x))


def test_wrong_modulations_are_refused():
    message = '`modulation` must be "features" or "kernels". Received: modulation=\'weights\''
    with pytest.raises(ValueError, match=f"^{message}$"):
        ModulatedConv2D(1, modulation="weights")
