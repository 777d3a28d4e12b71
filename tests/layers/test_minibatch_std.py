"""Minibatch standard deviation: its formula, its strided groups, and its zero variance."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from layers.minibatch_std import MinibatchStd


def formula(inputs, weights, group_size=4, features=1, epsilon=1e-8):
    (x,) = inputs
    batch, height, width, channels = x.shape
    groups = batch // min(group_size, batch)
    part = channels // features
    maps = np.empty((batch, height, width, features))
    for group in range(groups):
        members = x[group::groups]
        deviation = np.sqrt(members.var(axis=0) + epsilon)
        for k in range(features):
            maps[group::groups, :, :, k] = deviation[..., k * part : (k + 1) * part].mean()
    return np.concatenate([x, maps], axis=-1)


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((MinibatchStd, {}, [(8, 4, 6, 3)]), id="groups of 4"),
        pytest.param(
            (MinibatchStd, {"group_size": 3, "features": 2, "epsilon": 0.1}, [(6, 2, 4, 6)]),
            id="two features",
        ),
        pytest.param((MinibatchStd, {}, [(2, 4, 4, 3)]), id="batch below the group"),
    ],
    indirect=True,
)
def test_contract(run_layer_contract):
    run_layer_contract(formula, statistics=True)


def test_members_of_a_group_are_strided_through_the_batch():
    batch = np.array([0.0, 10.0, 0.0, 10.0], "float32")[:, None, None, None]
    # Strided groups hold equal samples; contiguous ones, [0, 10] and [0, 10], deviate by 5.
    strided = MinibatchStd(group_size=2)(batch)[..., -1]
    np.testing.assert_allclose(strided, 1e-4, rtol=1e-5)
    contiguous = MinibatchStd(group_size=2)(batch[[0, 2, 1, 3]])[..., -1]
    np.testing.assert_allclose(contiguous, 5.0, rtol=1e-6)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"multiple of `group_size`=4.*Received: batch=6"):
        MinibatchStd()(np.zeros((6, 2, 2, 3)))


def test_an_unknown_batch_that_does_not_divide_is_refused():
    call = tf.function(MinibatchStd(), input_signature=[tf.TensorSpec((None, 2, 2, 3))])
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(tf.zeros((6, 2, 2, 3)))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_equal_samples_have_a_finite_gradient(gradients, policy):
    found = gradients(MinibatchStd(dtype=policy), [np.ones((4, 2, 2, 3))])
    assert all(np.isfinite(g).all() for g in (*found.first, *found.second))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"group_size": 0}, "`group_size` must be at least 1. Received: group_size=0"),
        ({"features": 0}, "`features` must be at least 1. Received: features=0"),
    ],
)
def test_wrong_arguments_are_refused(config, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        MinibatchStd(**config)


def test_channels_that_do_not_divide_into_features_are_refused():
    with pytest.raises(ValueError, match=r"multiple of `features`=2. Received: channels=3"):
        MinibatchStd(features=2)(keras.Input((4, 4, 3)))
