"""Micro-batches: the updates are those of the whole batch, with one part in memory at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config
from tests.pipeline.training.steps import CASES, after_steps, models_and_step

STEPS = 4


def moves_and_metrics(config: Config) -> tuple[list[np.ndarray], dict[str, float]]:
    """How far each weight comes in a few steps, in which updates follow gradients in size."""
    models, step = models_and_step(config, index=1)
    weights = [*models.generator.trainable_weights, *models.discriminator.trainable_weights]
    before = [weight.numpy() for weight in weights]
    metrics = after_steps(step, config, STEPS)
    moves = [weight.numpy() - old for weight, old in zip(weights, before, strict=True)]
    if models.path_length_mean is not None:
        moves.append(models.path_length_mean.numpy())
    return moves, metrics


def assert_the_same(
    tiny: Callable[..., Config], name: str, micro_batch: int = 4, **run: Any
) -> None:
    objective, optimizer = CASES[name]
    whole, parts = (
        moves_and_metrics(
            tiny(
                objective=objective,
                optimizer={"epsilon": 1.0, **optimizer},
                schedule={"batch_size": 16, "learning_rate": 0.1},
                data={"labels": name == "everything"},
                run={"micro_batch": most, **run},
            )
        )
        for most in (None, micro_batch)
    )
    largest = max(np.abs(moves).max() for moves in whole[0])
    apart = max(np.abs(a - b).max() for a, b in zip(whole[0], parts[0], strict=True))
    print(f"{name}: weights moved by {largest:.2g}, apart by {apart / largest:.1e} of it")
    assert apart < 1e-4 * largest
    assert whole[1].keys() == parts[1].keys()
    for metric, value in whole[1].items():
        assert parts[1][metric] == pytest.approx(value, rel=1e-5, abs=1e-6), metric


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_micro_batches_update_as_the_batch_does_under_every_objective(
    tiny: Callable[..., Config], name: str
) -> None:
    assert_the_same(tiny, name)
