"""The truncation of styles: its formula, its cut-off, and that it is off if not asked for."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from layers.truncation import Truncation

RNG = np.random.default_rng(0)
STYLES = RNG.normal(size=(2, 4, 3)).astype("float32")
MEAN = RNG.normal(size=3).astype("float32")


@pytest.fixture
def truncation():
    layer = Truncation()
    layer.build(STYLES.shape)
    layer.mean.assign(MEAN)
    return layer


def formula(inputs, weights):
    assert weights["mean"].shape == inputs[0].shape[-1:]
    return inputs[0]


@pytest.mark.parametrize(
    "run_layer_contract", [pytest.param((Truncation, {}, [(2, 4, 3)]))], indirect=True
)
def test_contract(run_layer_contract):
    run_layer_contract(formula)


@pytest.mark.parametrize(
    ("cutoff", "psi", "kind"),
    [
        (None, 0.7, float),
        (None, -0.5, tf.constant),
        (0, 0.0, tf.constant),
        (1, 0.7, tf.constant),
        (1, 0.0, float),
        (3, 1.5, float),
        (4, -0.5, float),
        (9, 1.5, tf.constant),
    ],
)
def test_styles_of_the_first_layers_are_drawn_to_the_mean(truncation, psi, cutoff, kind):
    expected = STYLES.copy()
    for layer in range(4 if cutoff is None else min(cutoff, 4)):
        expected[:, layer] = (1 - psi) * MEAN + psi * STYLES[:, layer]
    found = truncation(STYLES, psi=kind(psi), cutoff=cutoff)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_psi_of_1_is_the_identity_bit_for_bit(truncation):
    np.testing.assert_array_equal(truncation(STYLES * 1e6), STYLES * 1e6)
    np.testing.assert_allclose(truncation(STYLES, psi=tf.constant(1.0)), STYLES, atol=1e-6)


def test_no_gradient_reaches_the_mean(truncation):
    assert not truncation.trainable_weights
    styles = tf.constant(STYLES)
    with tf.GradientTape() as tape:
        tape.watch(styles)
        total = tf.reduce_sum(truncation(styles, psi=0.7, cutoff=1))
    np.testing.assert_allclose(tape.gradient(total, styles)[:, :, 0], [[0.7, 1, 1, 1]] * 2)


def test_it_is_part_of_a_model(truncation):
    styles = keras.Input((4, 3))
    model = keras.Model(styles, truncation(styles, psi=0.5, cutoff=2))
    np.testing.assert_array_equal(model(STYLES), truncation(STYLES, psi=0.5, cutoff=2))
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(STYLES), model(STYLES))
    assert copy.layers[-1].mean.dtype == "float32"


def test_the_mean_is_float32_in_half_precision(truncation):
    half = Truncation(dtype="mixed_bfloat16")
    half.build(STYLES.shape)
    half.mean.assign(MEAN)
    found = half(STYLES, psi=0.7)
    assert found.dtype == tf.bfloat16
    exact = truncation(tf.cast(STYLES, tf.bfloat16), psi=0.7)
    np.testing.assert_array_equal(found, tf.cast(exact, tf.bfloat16))
