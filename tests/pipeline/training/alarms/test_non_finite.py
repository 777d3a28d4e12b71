"""The first tensor that is not finite is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.training.alarms.non_finite import (
    Check,
    NonFinite,
    first_non_finite,
    half_squared_norms,
)
from pipeline.training.synthesis.step import SynthesisStep
from tests.pipeline.training.steps import PLAIN, models_and_step

NAN, INFINITE = float("nan"), float("inf")
WEIGHTS = {"gradients": ["first/kernel", "last/kernel", "last/bias"]}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"fakes": [1.0, 2.0], "loss": 3.0, "gradients": [1.0, 2.0, 3.0]}, None),
        ({"fakes": [1.0, NAN], "loss": NAN, "gradients": [NAN, NAN, NAN]}, "fakes"),
        ({"fakes": [1.0, 1.0], "loss": INFINITE, "gradients": [NAN, NAN, NAN]}, "loss"),
        ({"fakes": [1.0, 1.0], "loss": -INFINITE, "gradients": [1.0, 1.0, 1.0]}, "loss"),
        # Gradients come in the order of the backward pass, from the last weight on.
        ({"loss": 1.0, "gradients": [NAN, NAN, NAN]}, "gradient of last/bias"),
        ({"loss": 1.0, "gradients": [1.0, NAN, NAN]}, "gradient of last/kernel"),
        ({"loss": 1.0, "gradients": [1.0, 1.0, INFINITE]}, "gradient of first/kernel"),
        ({"gradients": [1.0, 1.0, 1.0], "norm": NAN}, "norm"),
    ],
)
def test_the_first_is_named(values: dict[str, Any], name: str | None) -> None:
    tensors = {key: tf.constant(value) for key, value in values.items()}
    found = Check(tensors, WEIGHTS, first_non_finite(tensors), 32).found()
    assert found == (None if name is None else NonFinite(name, 32))


def test_squares_are_those_of_each_gradient_from_the_last_back() -> None:
    gradients = [np.array([3.0, 4.0]), np.array([[1.0], [NAN]]), np.array(2.0)]
    np.testing.assert_allclose(
        half_squared_norms(list(map(tf.constant, gradients))), [2.0, NAN, 12.5]
    )


def take(step: SynthesisStep, images_seen: int, images: Any) -> None:
    labels = tf.zeros((8, 0))
    step([{"images": images, "labels": labels}], images_seen, 1.0)


GREY = tf.fill((8, 4, 4, 1), tf.constant(77, tf.uint8))


def test_what_a_step_broke_is_known_at_once_or_a_step_later(tiny: Callable[..., Config]) -> None:
    models, step = models_and_step(tiny(objective=PLAIN))
    take(step, 0, GREY)
    assert step.non_finite(wait=True) is None
    kernel = models.discriminator.get_layer("discriminator_4x4_dense0").kernel
    kernel.assign(np.where(np.indices(kernel.shape)[0] == 3, NAN, kernel.numpy()))
    take(step, 8, GREY)
    assert step.non_finite(wait=False) is None
    assert step.non_finite(wait=True) == NonFinite("real_score", 16)
    take(step, 16, GREY)
    assert step.non_finite(wait=False) == NonFinite("real_score", 16)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "layer", "name"),
    [
        ({}, "generator_4x4_conv", "fakes"),
        ({"penalty": "none", "r1": 1.0, "penalty_every": 1}, "generator_4x4_to_rgb", "fakes"),
        ({"drift": 3e38}, None, "gradient of discriminator_4x4_dense1/bias"),
    ],
)
def test_the_first_is_where_the_fault_is(
    tiny: Callable[..., Config], objective: dict[str, Any], layer: str | None, name: str
) -> None:
    models, step = models_and_step(tiny(objective=objective))
    if layer is not None:
        weight = models.generator.get_layer(layer).weights[0]
        weight.assign(np.full(weight.shape, INFINITE))
    take(step, 0, GREY)
    assert step.non_finite(wait=True) == NonFinite(name, 8)
