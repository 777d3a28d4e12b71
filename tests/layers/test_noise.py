"""Noise against its formula, and that it starts as the identity; the fixed map, and its draw."""

import numpy as np
import pytest

from layers.noise import FixedNoise, Noise


def formula(inputs, weights, per_channel=True, gain=1.0):
    features, noise = inputs
    assert weights["strength"].shape == (features.shape[-1:] if per_channel else ())
    return features + gain * weights["strength"] * noise


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((Noise, {}, [(2, 4, 6, 3), (2, 4, 6, 1)]), id="per channel"),
        pytest.param(
            (Noise, {"per_channel": False, "gain": 1.5}, [(2, 4, 6, 3), (2, 4, 6, 1)]),
            id="one for all",
        ),
        pytest.param((Noise, {}, [(2, 4, 6, 3), (1, 4, 6, 1)]), id="one map for the batch"),
    ],
    indirect=True,
)
def test_contract(run_layer_contract):
    run_layer_contract(formula)


@pytest.mark.parametrize("per_channel", [True, False])
def test_it_starts_as_the_identity(per_channel):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 4, 3)).astype("float32")
    noise = rng.normal(size=(2, 4, 4, 1)).astype("float32")
    np.testing.assert_array_equal(Noise(per_channel)([x, noise]), x)


def map_formula(inputs, weights, side, seed=None):
    assert weights["map"].shape == (side, side, 1)
    return np.stack([weights["map"]] * len(inputs[0]))


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((FixedNoise, {"side": 4}, [(3, 5)]), id="of vectors"),
        pytest.param((FixedNoise, {"side": 2, "seed": 7}, [(2, 3, 4, 5)]), id="of images"),
    ],
    indirect=True,
)
def test_map_contract(run_layer_contract):
    run_layer_contract(map_formula)


def test_the_map_is_a_standard_normal_draw_of_its_seed():
    same, again, other = (FixedNoise(64, seed)(np.zeros((1, 1))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert (same.numpy() != other.numpy()).all()
    assert same.numpy().mean() == pytest.approx(0.0, abs=0.05)
    assert same.numpy().std() == pytest.approx(1.0, abs=0.05)


def test_the_map_stays_when_all_layers_are_trained():
    layer = FixedNoise(4)
    layer.build((None, 2))
    layer.trainable = True
    assert not layer.trainable_weights
    assert [weight.name for weight in layer.non_trainable_weights] == ["map"]


def test_a_map_has_pixels():
    with pytest.raises(ValueError, match=r"^`side` must be at least 1. Received: side=0$"):
        FixedNoise(0)
