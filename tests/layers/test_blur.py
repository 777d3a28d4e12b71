"""The blur against its formula and SciPy, and what it preserves."""

import numpy as np
import pytest
from scipy import signal

from layers.blur import Blur


def formula(inputs, weights, taps=(1.0, 2.0, 1.0)):
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
def test_contract(run_layer_contract):
    run_layer_contract(formula)


def test_it_is_a_same_convolution_of_scipy():
    image = np.random.default_rng(0).normal(size=(9, 7))
    kernel = np.outer([1, 3, 5, 3, 1], [1, 3, 5, 3, 1]) / 13**2
    ours = Blur((1, 3, 5, 3, 1), dtype="float64")(image[None, :, :, None])[0, :, :, 0]
    np.testing.assert_allclose(ours, signal.convolve2d(image, kernel, mode="same"), atol=1e-14)


def test_it_preserves_constants_inside_and_the_mean():
    blur = Blur(dtype="float64")
    flat = blur(np.full((1, 6, 6, 2), 3.0)).numpy()
    np.testing.assert_allclose(flat[:, 1:-1, 1:-1], 3.0, atol=1e-14)
    framed = np.pad(np.random.default_rng(0).normal(size=(1, 4, 4, 2)), 1)[1:2, ..., 1:3]
    np.testing.assert_allclose(
        blur(framed).numpy().mean(axis=(1, 2)), framed.mean(axis=(1, 2)), atol=1e-14
    )


@pytest.mark.parametrize("taps", [(1.0, 1.0), (1.0, -2.0, 1.0), ()])
def test_wrong_taps_are_refused(taps):
    with pytest.raises(ValueError, match=r"`taps` must be odd in number.*Received: taps=\("):
        Blur(taps)
