"""Updates of both networks under every objective, on one device."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.families.progan.config import ProGANConfig
from pipeline.families.progan.networks import Discriminator
from pipeline.training.synthesis import phase_models, updates
from pipeline.training.synthesis.generation import LatentBatch
from pipeline.training.synthesis.inputs import CriticBatch, GeneratorBatch
from pipeline.training.synthesis.phase_models import PhaseModels
from pipeline.training.synthesis.state import TrainingState
from pipeline.training.synthesis.updates import (
    DiscriminatorUpdates,
    GeneratorUpdates,
    discriminate_both,
)
from tests.pipeline.training.reuse import Reuse
from tests.pipeline.training.steps import CASES, PLAIN, after_steps, batches, models_and_step


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        pytest.param("weight_clip", False, marks=pytest.mark.slow),
        pytest.param("lazy", False, marks=pytest.mark.slow),
        ("everything", True),
    ],
)
def test_a_step_moves_every_weight_and_logs_every_regulariser(
    tiny: Callable[..., Config], name: str, labels: bool
) -> None:
    objective, optimizer = CASES[name]
    config = tiny(objective=objective, optimizer=optimizer, data={"labels": labels})
    models, step = models_and_step(config, index=1)
    networks = (models.generator, models.discriminator)
    before = [network.get_weights() for network in networks]
    metrics = after_steps(step, config, 3)
    assert step.finish.experimental_get_tracing_count() == 1
    assert all(np.isfinite(value) for value in metrics.values())
    assert float(models.alphas[0].value) == 0.5
    expected = {
        "weight_clip": {"drift"},
        "lazy": {"r1", "r2", "path_length"},
        "everything": {
            *("penalty", "penalty_norm", "r1", "consistency", "path_length"),
            *("critic_overlap", "generator_overlap", "drift"),
        },
    }[name]
    always = {"critic_loss", "generator_loss", "real_score", "fake_score"}
    always |= {"critic_gradient_norm", "generator_gradient_norm", "separation"}
    if labels:
        always |= {"critic_label_loss", "generator_label_loss"}
    assert set(metrics) == expected | always
    for network, old in zip(networks, before, strict=True):
        for weight, value in zip(network.weights, old, strict=True):
            assert not weight.trainable or (weight.numpy() != value).any(), weight.path
    if name == "weight_clip":
        assert max(np.abs(w).max() for w in models.discriminator.get_weights()) <= 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        # Each objective in one precision, and in the others where there is time.
        pytest.param(name, precision, marks=() if always == chosen else pytest.mark.thorough)
        for (name, always) in zip(CASES, itertools.cycle(range(3)), strict=False)
        for chosen, precision in enumerate(["mixed_float16", "mixed_bfloat16", "float32"])
    ],
)
def test_every_objective_trains_in_every_precision(
    tiny: Callable[..., Config], name: str, precision: str
) -> None:
    objective, optimizer = CASES[name]
    config = tiny(objective=objective, optimizer=optimizer, run={"precision": precision})
    _, step = models_and_step(config, index=1)
    metrics = after_steps(step, config, 2)
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.new_trace
def test_what_has_no_weight_is_not_computed(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError

    for module, names in (
        (updates, ("squared_gradient", "path_lengths", "shift_and_mirror", "label_loss")),
        (phase_models, ("total_overlap",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, refuse)
    config = tiny(objective=PLAIN)
    # Not one that was traced before: what is refused is refused when it is traced.
    models, step = Reuse().models_and_step(config)
    metrics = step(batches(config, 4), 0, 1.0)
    assert "penalty" not in metrics
    assert models.path_length_mean is None
    assert not any("path_length" in name for name in models.variables)


def test_reals_are_scored_for_the_generator_only_where_its_loss_compares(
    tiny: Callable[..., Config],
) -> None:
    def passes(loss: str) -> int:
        config = tiny(objective={**PLAIN, "loss": loss})
        models, _ = models_and_step(config)
        calls = []

        class Counting:
            def __getattr__(self, name: str) -> Any:
                return getattr(models.discriminator, name)

            def __call__(self, images: Any) -> Any:
                calls.append(images)
                return models.discriminator(images)

        counted = PhaseModels(**{**vars(models), "discriminator": Counting()})
        latents = tf.random.stateless_normal((8, 8), (0, 0))
        GeneratorUpdates(config, counted, replicas=1).update(
            GeneratorBatch(LatentBatch(latents), tf.zeros((8, 0)), tf.zeros((8, 4, 4, 1)))
        )
        return len(calls)

    assert (passes("logistic"), passes("relativistic_logistic")) == (1, 2)


def test_a_lazy_penalty_weighs_as_much_as_the_updates_it_stands_for(
    tiny: Callable[..., Config],
) -> None:
    def moved_by(penalty_every: int) -> list[np.ndarray]:
        objective = {**PLAIN, "r1": 1.0, "penalty_every": penalty_every}
        # With a huge epsilon Adam's updates follow gradients in size.
        config = tiny(objective=objective, optimizer={"epsilon": 1e6})
        phase = config.schedule.build().phases[0]
        models, _ = models_and_step(config)
        reals = tf.random.stateless_normal((8, 4, 4, 1), (0, 0))
        batch = CriticBatch(reals, None, tf.zeros((8, 0)), None, None)
        before = models.discriminator.get_weights()
        DiscriminatorUpdates(config, phase, models, replicas=1).apply_penalties(batch)
        return [
            (new - old) / float(models.discriminator_optimizer.learning_rate)
            for new, old in zip(models.discriminator.get_weights(), before, strict=True)
        ]

    # Adam's first update is `g · √(1 - β₂) / epsilon`, so that the corrected β₂ shows.
    def root(every: int) -> float:
        return float(np.sqrt(1 - 0.99 ** (every / (every + 1))))

    for two, eight in zip(moved_by(2), moved_by(8), strict=True):
        np.testing.assert_allclose(eight / root(8), 4 * two / root(2), rtol=2e-2, atol=1e-9)


@pytest.mark.parametrize(
    ("batch", "labels"),
    [
        (2, True),
        (12, False),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((2, False), (12, True))),
        *(pytest.param(8, labels, marks=pytest.mark.slow) for labels in (False, True)),
    ],
)
def test_the_generator_learns_the_same_from_two_halves(
    tiny: Callable[..., Config], labels: bool, batch: int
) -> None:
    weights = []
    for threads in (None, 1):
        config = tiny(data={"labels": labels}, run={"intra_op_threads": threads})
        strategy = tf.distribute.get_strategy()
        state = TrainingState(config, label_size=10 if labels else 0, strategy=strategy)
        phase = config.schedule.build().phases[0]
        models = state.models_for(phase)
        one_hot = tf.one_hot(tf.range(batch) % 10, 10 if labels else 0)
        latents = tf.random.stateless_normal((batch, config.network.latent_size), (0, 0))
        metrics = GeneratorUpdates(config, models, replicas=1).update(
            GeneratorBatch(LatentBatch(latents), one_hot, reals=None)
        )
        weights.append([*metrics.values(), *models.generator.get_weights()])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def normals(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("label_size", [0, 3])
@pytest.mark.parametrize("batch", [2, 4, 8, 16])
def test_one_pass_scores_reals_and_fakes_as_two_passes_do(batch: int, label_size: int) -> None:
    config = ProGANConfig(fmap_max=8, latent_size=8)
    model = Discriminator(config, channels=3, label_size=label_size).model(8, fading=False)
    reals, fakes = (
        tf.constant(normals(batch, 8, 8, 3)),
        tf.constant(normals(batch, 8, 8, 3, seed=1)),
    )
    labels = tf.zeros((batch, label_size))
    together = discriminate_both(model, reals, fakes, labels, group_size=4)
    for both, alone in zip(together, (model(reals), model(fakes)), strict=True):
        for name, expected in alone.items():
            np.testing.assert_allclose(getattr(both, name), expected, rtol=1e-5, atol=1e-5)
        assert (both.logits is None) == ("logits" not in alone)
