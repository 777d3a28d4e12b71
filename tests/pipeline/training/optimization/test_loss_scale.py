"""Loss scaling: its dynamics, what is skipped, and gradients that float16 alone would lose."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.objectives.adversarial import Adversarial
from pipeline.training.optimization import loss_scale
from pipeline.training.optimization.loss_scale import LARGEST, SMALLEST, START, adjusted_scale
from pipeline.training.synthesis import updates
from pipeline.training.synthesis.generation import LatentBatch
from pipeline.training.synthesis.inputs import CriticBatch, GeneratorBatch, PathBatch
from pipeline.training.synthesis.phase_models import PhaseModels
from pipeline.training.synthesis.state import TrainingState
from pipeline.training.synthesis.updates import DiscriminatorUpdates, GeneratorUpdates
from tests.pipeline.training.steps import CASES, after_steps, models_and_step

BATCH = 8
FLOAT16 = {"precision": "mixed_float16"}


def normals(seed: int, *shape: int) -> Any:
    return tf.constant(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_the_factor_follows_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_scale, "PATIENCE", 3)
    random = np.random.default_rng(0)
    finite = [*(random.random(200) < 0.8).tolist(), *[False] * 60, *[True] * 200]
    factor, good = tf.constant(START), tf.constant(0)
    exponent, streak = 15, 0
    for good_update in finite:
        factor, good = adjusted_scale(factor, good, tf.constant(good_update))
        streak = streak + 1 if good_update else 0
        exponent += (streak > 0 and streak % 3 == 0) - (not good_update)
        exponent = min(max(exponent, -24), 24)
        assert float(factor) == 2.0**exponent
    assert (SMALLEST, LARGEST) == (2.0**-24, 2.0**24)


Both = tuple[DiscriminatorUpdates, GeneratorUpdates]


def prepared(config: Config) -> tuple[PhaseModels, Both]:
    phase = config.schedule.build().phases[-1]
    strategy = tf.distribute.get_strategy()
    models = TrainingState(config, label_size=0, strategy=strategy).models_for(phase)
    discriminator = DiscriminatorUpdates(config, phase, models, replicas=1)
    return models, (discriminator, GeneratorUpdates(config, models, replicas=1))


def update_all(config: Config, made: Both) -> dict[str, float]:
    """One update of each network, always on the same draws."""
    discriminator, generator = made
    size = discriminator.phase.resolution
    latent_size = config.network.latent_size
    labels = tf.zeros((BATCH, 0))
    critic_batch = CriticBatch(
        reals=normals(0, BATCH, size, size, 1),
        draws=LatentBatch(normals(1, BATCH, latent_size)),
        labels=labels,
        mix_weights=tf.abs(normals(2, BATCH, 1, 1, 1)) % 1.0,
        moves=tf.abs(normals(3, BATCH, 3)) % 1.0,
    )
    generator_batch = GeneratorBatch(
        LatentBatch(normals(4, BATCH, latent_size)), labels, normals(5, BATCH, size, size, 1)
    )
    path_draws = LatentBatch(normals(6, BATCH, latent_size))
    paths = PathBatch(path_draws, labels, normals(7, BATCH, size, size, 1))
    return {
        name: float(value)
        for name, value in {
            **discriminator.update(critic_batch),
            **generator.update(generator_batch, paths),
        }.items()
        if value.shape.rank == 0
    }


def gradients_in(models: PhaseModels) -> dict[str, np.ndarray]:
    """Return the gradients of the last updates: without decay they are Adam's first moments."""
    return {name: value.numpy() for name, value in models.variables.items() if "momentum" in name}


def error_of(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """The larger of the relative errors of both networks' gradients, in the norm."""
    return max(
        float(
            np.sqrt(sum(((found[n] - expected[n]) ** 2).sum() for n in names))
            / np.sqrt(sum((expected[n] ** 2).sum() for n in names))
        )
        for names in (
            [name for name in expected if name.startswith(network)]
            for network in ("generator", "discriminator")
        )
    )


@pytest.mark.parametrize(
    ("resolution", "magnitude", "start"),
    [
        (4, 1e6, 1.0),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((4, 1e-7, LARGEST), (8, 1.0, START), (16, 1e-7, LARGEST))
        ),
        *(
            pytest.param(*case, marks=[pytest.mark.slow, pytest.mark.thorough])
            for case in ((8, 1e-7, LARGEST), (8, 1e6, 1.0), (16, 1.0, START), (16, 1e6, 1.0))
        ),
    ],
)
def test_gradients_are_those_of_float32_whatever_the_size_of_the_loss(
    tiny: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    resolution: int,
    magnitude: float,
    start: float,
) -> None:
    loss = Adversarial(lambda r, f: magnitude * (f - r), lambda _, f: -magnitude * f)
    monkeypatch.setattr(updates, "LOSSES", {"wasserstein": loss})

    def gradients(precision: str, first: float) -> dict[str, np.ndarray]:
        monkeypatch.setattr(loss_scale, "START", first)
        config = tiny(
            objective={
                "penalty_weight": 10 * magnitude,
                "drift": 0.0,
                "path_length": magnitude,
                "path_length_every": 1,
                "path_length_decay": 1e-6,
            },
            # So that weights stay what they are, also in an update that is not skipped.
            schedule={"resolution": resolution, "learning_rate": 1e-37},
            run={"precision": precision},
        )
        models, made = prepared(config)
        for _ in range(30):  # Factors that are too large are halved.
            metrics = update_all(config, made)
            if metrics["critic_gradient_norm"] and metrics["generator_gradient_norm"]:
                break
        print(precision, metrics)
        return gradients_in(models)

    expected = gradients("float32", 1.0)
    error = error_of(gradients("mixed_float16", start), expected)
    coarse = error_of(gradients("mixed_bfloat16", 1.0), expected)
    print(f"{resolution} px, loss times {magnitude:g}: error {error:.4f}, bfloat16's {coarse:.4f}")
    # What rounding does to a leaky ReLU near zero is the most of it, in both.
    assert error < min(coarse, 0.05)
    if magnitude < 1:  # The factor is what it takes.
        monkeypatch.setattr(loss_scale, "LARGEST", 1.0)
        assert error_of(gradients("mixed_float16", 1.0), expected) > 0.5
    if magnitude > 1:
        monkeypatch.setattr(loss_scale, "SMALLEST", 1.0)
        assert error_of(gradients("mixed_float16", 1.0), expected) > 0.5


def test_what_overflows_is_skipped_and_changes_nothing_but_the_factor(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_scale, "START", 2.0**40)
    objective = {**CASES["everything"][0], "penalty": "two_sided"}
    config = tiny(objective=objective, optimizer={"clip_norm": 1.0}, run=FLOAT16)
    models, made = prepared(config)
    before = {name: value.numpy() for name, value in models.variables.items()}
    metrics = update_all(config, made)
    for name, value in models.variables.items():
        if name.endswith("loss_scale"):
            assert value.numpy() == 2.0**39, name
        else:
            np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    assert metrics["critic_gradient_norm"] == metrics["generator_gradient_norm"] == 0.0
    assert metrics["critic_loss_scale"] == metrics["generator_loss_scale"] == 2.0**40
    assert metrics["real_score"] != 0.0  # What the factor has no part in is told as it is.


def test_what_the_smallest_factor_does_not_mend_is_told(tiny: Callable[..., Config]) -> None:
    config = tiny(run=FLOAT16)
    models, made = prepared(config)
    for scale in (models.generator_loss_scale, models.discriminator_loss_scale):
        scale.variables[0].assign(SMALLEST)
    kernel = models.discriminator.trainable_weights[0]
    kernel.assign(kernel * 1e30)
    metrics = update_all(config, made)
    for name in ("critic_loss", "critic_gradient_norm", "generator_gradient_norm"):
        assert not np.isfinite(metrics[name]), name
    assert float(models.discriminator_loss_scale.factor) == SMALLEST


def test_there_is_no_factor_without_float16(tiny: Callable[..., Config]) -> None:
    for precision in ("float32", "mixed_bfloat16"):
        models, _ = prepared(tiny(run={"precision": precision}))
        assert not any("scale" in name or "good" in name for name in models.variables)
        assert models.generator_loss_scale is None


ONE_OVERFLOWS = """
import json
import numpy as np
import keras
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pipeline.training.optimization.loss_scale import LossScale
strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
with strategy.scope():
    weight = keras.Variable(np.ones(3, np.float32))
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([weight])
    scale = LossScale("critic")

@tf.function
def step(bad):
    def replica():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        gradient = tf.where(tf.equal(number, bad), np.float32(np.inf), tf.ones(3))
        return scale.apply(optimizer, [gradient], tf.norm(gradient), {"norm": tf.norm(gradient)})
    return strategy.run(replica)

def seen(bad):
    norms = strategy.experimental_local_results(step(tf.constant(bad))["norm"])
    return {
        "norms": [float(norm) for norm in norms],
        "weights": [copy.numpy().tolist() for copy in weight.value.values],
        "updates": int(optimizer.iterations.numpy()),
        "factors": [float(copy) for copy in scale.variables[0].value.values],
    }

print(json.dumps([seen(0), seen(1), seen(2)]))
"""


def test_replicas_skip_together_whichever_of_them_overflows(python: str) -> None:
    root = Path(__file__).parents[4]
    environment = {"PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": "-1"}
    command = [python, "-c", ONE_OVERFLOWS]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    first, second, neither = json.loads(result.stdout.splitlines()[-1])
    unmoved = [[1.0] * 3] * 2
    assert (first["weights"], first["updates"], first["factors"]) == (unmoved, 0, [2.0**14] * 2)
    assert (second["weights"], second["updates"], second["factors"]) == (unmoved, 0, [2.0**13] * 2)
    assert sorted(first["norms"]) == sorted(second["norms"]) == [0.0, pytest.approx(3**0.5)]
    assert neither["updates"] == 1
    assert neither["factors"] == [2.0**13] * 2
    assert neither["weights"][0] == neither["weights"][1] == pytest.approx([0.9] * 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param("wasserstein", marks=pytest.mark.thorough), "lazy", "everything"]
)
def test_micro_batches_and_float16_go_together(tiny: Callable[..., Config], name: str) -> None:
    objective, optimizer = CASES[name]
    found = []
    for run in ({}, {**FLOAT16, "micro_batch": 4}):
        config = tiny(
            objective=objective,
            optimizer={"epsilon": 1.0, **optimizer},
            schedule={"batch_size": 16, "learning_rate": 0.1},
            run=run,
        )
        _, step = models_and_step(config, index=1)
        found.append(after_steps(step, config, 4))
    plain, scaled = found
    for metric in ("critic_loss", "generator_loss", "real_score", "fake_score"):
        assert scaled[metric] == pytest.approx(plain[metric], rel=2e-2, abs=1e-3), metric
    assert scaled["critic_loss_scale"] > 0.0
