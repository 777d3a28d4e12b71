"""Enlarging and reducing: their formulas, and that the one inverts and transposes the other."""

import keras
import numpy as np
import pytest

from layers.resample import BoxDown2D, NearestUp2D


def up(inputs, weights, factor=2):
    (x,) = inputs
    return x.repeat(factor, axis=1).repeat(factor, axis=2)


def down(inputs, weights, factor=2):
    (x,) = inputs
    corners = np.ndindex(factor, factor)
    return sum(x[:, row::factor, column::factor] for row, column in corners) / factor**2


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((NearestUp2D, {}, [(2, 2, 3, 5)]), id="2"),
        pytest.param((NearestUp2D, {"factor": 3}, [(2, 3, 2, 1)]), id="3"),
        pytest.param((NearestUp2D, {"factor": 1}, [(2, 3, 2, 3)]), id="1"),
    ],
    indirect=True,
)
def test_nearest_up_contract(run_layer_contract):
    run_layer_contract(up)


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((BoxDown2D, {}, [(2, 4, 6, 5)]), id="2"),
        pytest.param((BoxDown2D, {"factor": 3}, [(2, 9, 6, 1)]), id="3"),
        pytest.param((BoxDown2D, {"factor": 1}, [(2, 3, 2, 3)]), id="1"),
    ],
    indirect=True,
)
def test_box_down_contract(run_layer_contract):
    run_layer_contract(down)


def test_down_undoes_up_exactly():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype("float32")
    np.testing.assert_array_equal(BoxDown2D()(NearestUp2D()(x)), x)


@pytest.mark.parametrize("factor", [2, 3])
def test_down_is_the_transpose_of_up_but_for_the_area(factor):
    rng = np.random.default_rng(0)
    small, large = rng.normal(size=(2, 2, 4, 3)), rng.normal(size=(2, 2 * factor, 4 * factor, 3))
    enlarged = NearestUp2D(factor, dtype="float64")(small).numpy()
    reduced = BoxDown2D(factor, dtype="float64")(large).numpy()
    assert np.vdot(enlarged, large) == pytest.approx(factor**2 * np.vdot(small, reduced))


@pytest.mark.parametrize("layer_class", [NearestUp2D, BoxDown2D])
def test_a_wrong_factor_is_refused(layer_class):
    with pytest.raises(ValueError, match=r"^`factor` must be at least 1. Received: factor=0$"):
        layer_class(0)


@pytest.mark.parametrize(
    "images", [np.zeros((1, 4, 5, 3)), np.zeros((1, 5, 4, 3)), keras.Input((4, 5, 3))]
)
def test_sides_that_do_not_divide_are_refused(images):
    layer = BoxDown2D()
    layer(np.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"multiples of 2.*Received: height=\d, width=\d"):
        layer(images)
