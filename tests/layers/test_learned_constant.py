"""The learned constant: its formula, its start and its batch."""

import keras
import numpy as np
import pytest

from layers.learned_constant import LearnedConstant


def formula(inputs, weights, shape, initializer="ones"):
    assert weights["constant"].shape == tuple(shape)
    return np.stack([weights["constant"]] * len(inputs[0]))


@pytest.mark.parametrize(
    "run_layer_contract",
    [
        pytest.param((LearnedConstant, {"shape": (4, 2, 3)}, [(3, 5)]), id="ones"),
        pytest.param(
            (
                LearnedConstant,
                {
                    "shape": (2, 2, 5),
                    "initializer": keras.initializers.RandomNormal(stddev=1.0, seed=0),
                },
                [(2, 3, 4)],
            ),
            id="normal",
        ),
    ],
    indirect=True,
)
def test_contract(run_layer_contract):
    run_layer_contract(formula)


def test_it_starts_at_ones_for_every_sample():
    np.testing.assert_array_equal(
        LearnedConstant((4, 4, 2))(np.zeros((3, 8))), np.ones((3, 4, 4, 2))
    )


def test_stylegan2_starts_at_a_unit_normal():
    unit = keras.initializers.RandomNormal(stddev=1.0, seed=0)
    block = LearnedConstant((4, 4, 512), unit)(np.zeros((1, 1))).numpy()
    assert block.std() == pytest.approx(1.0, abs=0.05)
