"""Lazy regularisation: when it is paid, and the constants that allow for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.training.optimization.lazy_regularization import adam_constants, is_due
from pipeline.training.synthesis.state import TrainingState


def test_constants_are_stylegan2s() -> None:
    assert adam_constants(0.0025, 0.0, 0.99, every=16) == pytest.approx(
        (0.0025 * 16 / 17, 0.0, 0.9905854573), rel=1e-9
    )
    assert adam_constants(0.0025, 0.5, 0.99, every=4) == pytest.approx(
        (0.0025 * 4 / 5, 0.5743491775, 0.9919919678), rel=1e-9
    )
    assert adam_constants(0.1, 0.5, 0.99, every=1) == (0.1, 0.5, 0.99)


@pytest.mark.parametrize("first", [0, 24, 40])
def test_one_of_so_many_updates_pays_wherever_a_phase_begins(first: int) -> None:
    batch, every = 8, 4
    due = [is_due(images // batch, every) for images in range(first, first + 1000 * batch, batch)]
    assert all(sum(due[i : i + every]) == 1 for i in range(len(due) - every))


@pytest.mark.parametrize(
    ("objective", "discriminator", "generator"),
    [
        ({}, 1, 1),
        ({"r1": 1.0, "penalty_every": 16}, 16, 1),
        ({"path_length": 2.0}, 1, 4),
        ({"path_length": 2.0, "path_length_every": 1}, 1, 1),
    ],
)
def test_a_networks_optimizer_allows_for_its_lazy_regularisers(
    tiny: Callable[..., Config],
    objective: dict[str, float],
    discriminator: int,
    generator: int,
) -> None:
    optimizer = {"beta_1": 0.5, "beta_2": 0.9, "discriminator_rate_factor": 3.0}
    config = tiny(objective=objective, optimizer=optimizer)
    state = TrainingState(config, label_size=0, strategy=tf.distribute.get_strategy())
    models = state.models_for(config.schedule.build().phases[0])
    for adam, rate, every in (
        (models.discriminator_optimizer, 0.003, discriminator),
        (models.generator_optimizer, 0.001, generator),
    ):
        constants = adam_constants(rate, 0.5, 0.9, every=every)
        assert (float(adam.learning_rate), adam.beta_1, adam.beta_2) == pytest.approx(constants)
