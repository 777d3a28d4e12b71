"""The fade-in: its formula, its exact ends, and that a new alpha needs no new trace."""

import numpy as np
import pytest
import tensorflow as tf

from layers.weighted_sum import WeightedSum


def formula(inputs, weights, alpha=1.0):
    old, new = inputs
    return old + weights["alpha"] * (new - old)


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((WeightedSum, {}, [(2, 4, 6, 3)] * 2), id="images"),
        pytest.param((WeightedSum, {"alpha": 0.25}, [(3, 5)] * 2), id="vectors"),
    ],
    indirect=True,
)
def test_contract(run_layer_contract):
    run_layer_contract(formula)


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_both_ends_are_exact(policy, alpha):
    layer = WeightedSum(alpha, dtype=policy)
    rng = np.random.default_rng(0)
    paths = [tf.cast(rng.normal(0.0, 100.0, (2, 8, 8, 3)), layer.compute_dtype) for _ in range(2)]
    assert layer(paths).numpy().tobytes() == paths[int(alpha)].numpy().tobytes()


def test_a_change_of_alpha_does_not_retrace():
    layer, traces = WeightedSum(0.0), []
    layer.build([(None, 1)] * 2)

    @tf.function
    def call(old, new):
        traces.append(None)
        return layer([old, new])

    for alpha in (0.0, 0.25, 0.5, 1.0):
        layer.alpha.assign(alpha)
        assert float(call(tf.zeros((1, 1)), tf.ones((1, 1)))[0, 0]) == alpha
    assert len(traces) == 1


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_alpha_is_a_float32_weight_that_is_not_trained(policy):
    layer = WeightedSum(0.1, dtype=policy)
    layer.build([(None, 1)] * 2)
    assert layer.alpha.dtype == "float32"
    assert layer.alpha.numpy() == np.float32(0.1)
    assert layer.trainable_weights == []
    # 1/512 more than 0.5 is lost in bfloat16: alpha must reach the sum in float32.
    layer.alpha.assign(0.5 + 1 / 512)
    y = layer([np.full((1, 1), -256.0), np.full((1, 1), 256.0)])
    assert float(y[0, 0]) == 1.0


def test_the_assigned_alpha_is_state_and_not_configuration():
    layer = WeightedSum(0.0)
    layer.build([(None, 1)] * 2)
    layer.alpha.assign(0.75)
    assert layer.get_config()["alpha"] == 0.0


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_an_alpha_outside_0_to_1_is_refused(alpha):
    with pytest.raises(ValueError, match=f"^`alpha` must be from 0 to 1. Received: alpha={alpha}$"):
        WeightedSum(alpha)
