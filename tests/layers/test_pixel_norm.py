"""Pixel norm against its formula."""

import numpy as np
import pytest

from layers.pixel_norm import PixelNorm


def formula(inputs, weights, epsilon=1e-8):
    (x,) = inputs
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon)


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((PixelNorm, {}, [(2, 4, 6, 5)]), id="images"),
        pytest.param((PixelNorm, {"epsilon": 0.1}, [(3, 7)]), id="latents"),
    ],
    indirect=True,
)
def test_contract(run_layer_contract):
    run_layer_contract(formula, statistics=True)


def test_every_pixel_has_unit_mean_square():
    x = np.random.default_rng(0).normal(3.0, 5.0, size=(2, 4, 4, 16)).astype("float32")
    y = PixelNorm()(x).numpy()
    np.testing.assert_allclose((y**2).mean(axis=-1), 1.0, rtol=1e-5)


def test_a_zero_vector_stays_zero_with_a_finite_gradient(gradients):
    layer, zeros = PixelNorm(), np.zeros((1, 2, 2, 4))
    assert not layer(zeros).numpy().any()
    found = gradients(layer, [zeros])
    assert all(np.isfinite(g).all() for g in (*found.first, *found.second))
