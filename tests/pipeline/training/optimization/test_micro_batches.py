"""Micro-batches: the updates are those of the whole batch, with one part in memory at a time."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.objectives.adversarial import LOSSES
from pipeline.training.optimization.micro_batches import micro_batches, take_micro_batch, tangent_at
from tests.pipeline.training.steps import CASES, after_steps, models_and_step

STEPS = 4
MEMORY = Path(__file__).parents[3] / "benchmarks" / "memory_of_micro_batches.py"


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
    assert apart < 2e-5 * largest
    assert whole[1].keys() == parts[1].keys()
    for metric, value in whole[1].items():
        assert parts[1][metric] == pytest.approx(value, rel=1e-5, abs=1e-6), metric


@given(
    st.integers(1, 3) | st.integers(1, 16).map(lambda groups: 4 * groups),
    st.none() | st.integers(4, 64),
)
def test_micro_batches_are_the_fewest_equal_ones_of_whole_groups(
    samples: int, most: int | None
) -> None:
    fitting = [
        parts
        for parts in range(1, samples + 1)
        if samples % parts == 0
        and (parts == 1 or samples // parts % 4 == 0)
        and samples // parts <= (most or samples)
    ]
    assert micro_batches(samples, most, group=4) == fitting[0]


@pytest.mark.parametrize("parts", [2, 4])
def test_the_tangent_of_a_loss_in_which_samples_meet_is_a_sum_over_samples(parts: int) -> None:
    loss = LOSSES["relativistic_logistic"].critic
    points = [tf.constant(np.random.default_rng(k).normal(size=(8, 1))) for k in range(2)]
    with tf.GradientTape() as tape:
        tape.watch(points)
        whole = tf.reduce_mean(loss(*points))
    expected = tape.gradient(whole, points)
    tangent = tangent_at(loss, *points)
    total = 0.0
    found = [0.0, 0.0]
    for number in range(parts):
        values = [take_micro_batch(point, number, parts) for point in points]
        with tf.GradientTape() as tape:
            tape.watch(values)
            part = tf.reduce_mean(take_micro_batch(tangent, number, parts)(*values)) / parts
        total += float(part)
        slopes = tape.gradient(part, values)
        for kind, slope in enumerate(slopes):
            placed = np.zeros((8, 1))
            placed[number::parts] = slope
            found[kind] += placed
    assert total == pytest.approx(float(whole), rel=1e-12)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


@pytest.mark.slow
def test_micro_batches_update_as_the_batch_does(tiny: Callable[..., Config]) -> None:
    # The generator's step makes two halves of each.
    assert_the_same(tiny, "relativistic_logistic", micro_batch=8, intra_op_threads=1)


ALWAYS = ("lazy", "everything")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.thorough) for name in CASES],
)
def test_so_they_do_under_every_objective(tiny: Callable[..., Config], name: str) -> None:
    assert_the_same(tiny, name)


@pytest.mark.slow
def test_memory_is_that_of_a_micro_batch() -> None:
    measure = runpy.run_path(str(MEMORY))["in_process"]
    whole, divided, small = (
        measure("default", micro_batch, 64, 32, batch)["mebibytes"]
        for micro_batch, batch in ((None, 32), (4, 32), (None, 4))
    )
    print(f"32 at once {whole:.0f} MiB, in fours {divided:.0f} MiB, 4 alone {small:.0f} MiB")
    assert divided < whole / 2
    assert divided < small * 1.5
