"""Equalized dense and convolution: formulas, run-time scale, and fused equal to unfused."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies
from scipy import signal

from layers.equalized import EqualizedConv2D, EqualizedDense

HE_GAIN = math.sqrt(2)


def dense(inputs, weights, units, gain=HE_GAIN, lr_multiplier=1.0, use_bias=True, bias_gain=1.0):
    (x,) = inputs
    assert ("bias" in weights) == use_bias
    scale = gain / math.sqrt(x.shape[-1]) * lr_multiplier
    y = scale * (x @ weights["kernel"])
    if isinstance(units, tuple):
        y = y.reshape(-1, *units)
    return y + bias_gain * lr_multiplier * weights.get("bias", 0.0)


def convolution(
    inputs,
    weights,
    filters,
    kernel_size=3,
    resample=None,
    fused=True,
    taps=None,
    gain=HE_GAIN,
    lr_multiplier=1.0,
    use_bias=True,
    bias_gain=1.0,
):
    """Resample, correlate tap by tap and add the bias: nothing is fused here."""
    (x,) = inputs
    assert ("bias" in weights) == use_bias
    reach = kernel_size // 2
    if taps:
        assert (kernel_size, len(taps)) == (3, 4), "the official padding of this case"
        fir = np.array(taps) / sum(taps)
        reach = 0 if resample == "up" else 2
    if resample == "up" and taps:  # SciPy gives every pixel that the filter reaches.
        x = signal.upfirdn(2 * fir, signal.upfirdn(2 * fir, x, up=2, axis=1), up=2, axis=2)
    elif resample == "up":
        x = x.repeat(2, axis=1).repeat(2, axis=2)
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    batch, height, width, channels = padded.shape
    height, width = height - kernel_size + 1, width - kernel_size + 1
    y = np.zeros((batch, height, width, filters))
    for row, column in np.ndindex(kernel_size, kernel_size):
        y += padded[:, row : row + height, column : column + width] @ weights["kernel"][row, column]
    y *= gain / math.sqrt(kernel_size**2 * channels) * lr_multiplier
    if resample == "down" and taps:
        y = signal.upfirdn(fir, signal.upfirdn(fir, y, axis=1), axis=2)[:, 3:-3:2, 3:-3:2]
    elif resample == "down":
        y = (y[:, ::2, ::2] + y[:, 1::2, ::2] + y[:, ::2, 1::2] + y[:, 1::2, 1::2]) / 4
    return y + bias_gain * lr_multiplier * weights.get("bias", 0.0)


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((EqualizedDense, {"units": 5}, [(3, 7)]), id="default"),
        pytest.param(
            (
                EqualizedDense,
                {"units": 4, "gain": 1.0, "lr_multiplier": 0.01, "use_bias": False},
                [(2, 6)],
            ),
            id="mapping",
        ),
        pytest.param(
            (EqualizedDense, {"units": 2, "lr_multiplier": 0.5}, [(2, 3, 4)]), id="rank 3"
        ),
        pytest.param((EqualizedDense, {"units": (4, 2, 3)}, [(2, 5)]), id="images"),
        pytest.param(
            (EqualizedDense, {"units": 3, "bias_gain": 1.5, "lr_multiplier": 0.5}, [(2, 5)]),
            id="bias gain",
        ),
    ],
    indirect=True,
)
def test_dense_contract(run_layer_contract):
    run_layer_contract(dense)


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((EqualizedConv2D, {"filters": 5}, [(2, 4, 6, 3)]), id="default"),
        pytest.param(
            (
                EqualizedConv2D,
                {"filters": 3, "kernel_size": 1, "gain": 1.0, "use_bias": False},
                [(2, 4, 4, 5)],
            ),
            id="to rgb",
        ),
        *(
            pytest.param(
                (
                    EqualizedConv2D,
                    {"filters": 4, "resample": resample, "fused": fused, "lr_multiplier": 0.5},
                    [(2, 4, 6, 3)],
                ),
                id=f"{resample} {'fused' if fused else 'unfused'}",
            )
            for resample in ("up", "down")
            for fused in (True, False)
        ),
        *(
            pytest.param(
                (
                    EqualizedConv2D,
                    {
                        "filters": 4,
                        "resample": resample,
                        "fused": fused,
                        "taps": [1.0, 3.0, 4.0, 2.0],
                        "bias_gain": 1.5,
                    },
                    [(2, 4, 6, 3)],
                ),
                id=f"filtered {resample} {'fused' if fused else 'unfused'}",
            )
            for resample in ("up", "down")
            for fused in (True, False)
        ),
    ],
    indirect=True,
)
def test_convolution_contract(run_layer_contract):
    run_layer_contract(convolution)


def assert_fused_equals_unfused(gradients, resample, taps, kernel_size, channels, dtype):
    """In value, gradient, and the second-order gradient of a gradient penalty."""
    inputs, filters = channels
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 10, inputs))
    weights = [
        rng.normal(size=(kernel_size, kernel_size, inputs, filters)),
        rng.normal(size=filters),
    ]
    results = []
    for fused in (True, False):
        layer = EqualizedConv2D(filters, kernel_size, resample, fused, taps, dtype=dtype)
        layer.build(x.shape)
        layer.set_weights(weights)
        found = gradients(layer, [x])
        results.append([layer(x).numpy(), *found.first, *found.second])
    tolerance = {"float64": 1e-10, "float32": 1e-5}[dtype]
    for fused, unfused in zip(*results, strict=True):
        np.testing.assert_allclose(fused, unfused, rtol=0, atol=tolerance * np.abs(unfused).max())


@pytest.mark.parametrize(  # Every pair of two settings.
    ("resample", "taps", "kernel_size", "channels", "dtype"),
    [
        ("up", None, 1, (3, 5), "float64"),
        ("down", None, 3, (7, 1), "float32"),
        ("up", None, 5, (4, 8), "float32"),
        ("down", (1, 3, 3, 1), 1, (7, 1), "float64"),
        ("up", (1, 3, 3, 1), 3, (4, 8), "float64"),
        ("down", (1, 3, 3, 1), 5, (3, 5), "float32"),
        ("down", (1, 2, 5), 1, (4, 8), "float32"),
        ("up", (1, 2, 5), 3, (3, 5), "float32"),
        ("up", (1, 2, 5), 5, (7, 1), "float64"),
    ],
)
def test_fused_equals_unfused(gradients, resample, taps, kernel_size, channels, dtype):
    assert_fused_equals_unfused(gradients, resample, taps, kernel_size, channels, dtype)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    resample=strategies.sampled_from(["up", "down"]),
    taps=strategies.none() | strategies.lists(strategies.integers(1, 5), min_size=1, max_size=6),
    kernel_size=strategies.sampled_from([1, 3, 5]),
    channels=strategies.tuples(strategies.integers(1, 8), strategies.integers(1, 8)),
    dtype=strategies.sampled_from(["float32", "float64"]),
)
def test_fused_equals_unfused_whatever_the_settings(
    gradients, resample, taps, kernel_size, channels, dtype
):
    assert_fused_equals_unfused(gradients, resample, taps, kernel_size, channels, dtype)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        pytest.param(lambda **kw: EqualizedDense(256, **kw), (256, 300), id="dense"),
        pytest.param(lambda **kw: EqualizedConv2D(64, **kw), (4, 16, 16, 64), id="convolution"),
    ],
)
def test_outputs_keep_unit_variance(make, shape, lr_multiplier):
    layer = make(gain=1.0, lr_multiplier=lr_multiplier)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    y = layer(x).numpy()
    inside = y if y.ndim == 2 else y[:, 1:-1, 1:-1]
    # A multiplier stretches what is stored; what is used shrinks by it once more, as the bias does.
    assert layer.kernel.numpy().std() * lr_multiplier == pytest.approx(1.0, abs=0.03)
    assert inside.var() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
@pytest.mark.parametrize(
    ("make", "shape", "fan_in"),
    [
        pytest.param(lambda **kw: EqualizedDense(2, **kw), (1, 6), 6, id="dense"),
        pytest.param(lambda **kw: EqualizedConv2D(2, **kw), (1, 3, 3, 6), 54, id="convolution"),
        pytest.param(
            lambda **kw: EqualizedConv2D(2, resample="up", **kw), (1, 3, 3, 6), 54, id="fused up"
        ),
    ],
)
def test_the_scale_is_exact_and_leaves_the_bias_out(make, shape, fan_in, lr_multiplier):
    layer = make(gain=0.7, lr_multiplier=lr_multiplier, dtype="float64")
    layer.build(shape)
    middle = (0,) if len(shape) == 2 else (0, 1, 1)
    layer.set_weights([np.ones(layer.kernel.shape), np.zeros(2)])
    scale = 0.7 / math.sqrt(fan_in) * lr_multiplier
    np.testing.assert_allclose(layer(np.ones(shape))[middle], fan_in * scale, rtol=1e-14)
    layer.set_weights([np.zeros(layer.kernel.shape), np.array([3.0, -5.0])])
    np.testing.assert_array_equal(
        layer(np.ones(shape))[middle], np.array([3.0, -5.0]) * lr_multiplier
    )


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        pytest.param(lambda **kw: EqualizedDense((2, 2, 3), **kw), (1, 5), id="dense"),
        pytest.param(lambda **kw: EqualizedConv2D(3, **kw), (1, 2, 2, 5), id="convolution"),
    ],
)
def test_a_seed_fixes_the_first_weights(make, shape, lr_multiplier):
    same, again, other = (make(seed=seed, lr_multiplier=lr_multiplier) for seed in (1, 1, 2))
    for layer in (same, again, other):
        layer.build(shape)
        assert layer.bias.shape == (3,)
        assert not layer.bias.numpy().any()
    np.testing.assert_array_equal(same.kernel.numpy(), again.kernel.numpy())
    assert (same.kernel.numpy() != other.kernel.numpy()).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EqualizedDense(0), "`units` must be at least 1. Received: units=0"),
        (lambda: EqualizedDense((4, 0)), r"`units` must be at least 1. Received: units=\(4, 0\)"),
        (lambda: EqualizedDense(()), r"`units` must be at least 1. Received: units=\(\)"),
        (lambda: EqualizedConv2D(0), "`filters` must be at least 1. Received: filters=0"),
        (lambda: EqualizedConv2D(1, 2), "`kernel_size` must be odd. Received: kernel_size=2"),
        (lambda: EqualizedConv2D(1, -1), "`kernel_size` must be odd. Received: kernel_size=-1"),
        (
            lambda: EqualizedConv2D(1, resample="left"),
            '`resample` must be "up", "down" or None. Received: resample=\'left\'',
        ),
        (
            lambda: EqualizedConv2D(1, resample="up", taps=(1, -1)),
            r"`taps` must be given and not sum to zero. Received: taps=\(1.0, -1.0\)",
        ),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


@pytest.mark.parametrize("images", [np.zeros((1, 4, 5, 3)), keras.Input((4, 5, 3))])
@pytest.mark.parametrize("taps", [None, (1, 3, 3, 1)])
@pytest.mark.parametrize("fused", [True, False])
def test_odd_sides_are_not_reduced(fused, taps, images):
    layer = EqualizedConv2D(2, resample="down", fused=fused, taps=taps)
    layer(np.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"multiples of 2.*Received: height=4, width=5"):
        layer(images)
