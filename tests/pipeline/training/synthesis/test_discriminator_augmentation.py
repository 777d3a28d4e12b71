"""What the discriminator sees, and the probability that follows what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import AugmentationConfig, Config
from pipeline.training.synthesis.discriminator_augmentation import Augmentation
from pipeline.training.synthesis.generation import LatentBatch
from pipeline.training.synthesis.inputs import CriticBatch
from pipeline.training.synthesis.updates import DiscriminatorUpdates
from tests.pipeline.training.steps import PLAIN, after_steps, models_and_step

LOGISTIC = {"loss": "logistic", "penalty": "none", "r1": 1.0, "drift": 0.0}


def steered(**keys: Any) -> Augmentation:
    """Make an augmentation that is steered."""
    return Augmentation(AugmentationConfig(kind="ada", **keys))


def test_none_leaves_images_alone() -> None:
    augmentation = Augmentation(AugmentationConfig())
    images = tf.random.stateless_normal((4, 8, 8, 3), (0, 0))
    draws = augmentation.draws((1, 2), images.shape)
    np.testing.assert_array_equal(augmentation.apply(images, draws), images)
    assert not augmentation.steered
    assert not augmentation.variables


def test_the_probability_follows_the_signs_of_all_scores_since_it_was_set() -> None:
    augmentation = steered(rise_images=1000, adjust_every=2)

    def after(step: int, *means: float) -> float:
        for mean in means:
            augmentation.count(tf.constant(mean), images=50)
        augmentation.adjust(tf.constant(step, tf.int64))
        return float(augmentation.probability)

    assert after(0, 1.0) == 0.0
    assert after(1, 0.5) == pytest.approx(0.1)  # The mean is 0.75, of 100 images.
    assert after(2, 0.9) == pytest.approx(0.1)
    assert after(3, 0.1) == 0.0  # 0.5 is below the target.
    assert after(5, 1.0) == pytest.approx(0.05)


def test_a_probability_can_be_fixed() -> None:
    augmentation = steered(probability=0.3)
    assert float(augmentation.probability) == pytest.approx(0.3)
    assert not augmentation.steered


@pytest.mark.parametrize(
    ("kind", "micro_batch"), [pytest.param("ada", 4, marks=pytest.mark.slow), ("diffaugment", None)]
)
def test_a_step_trains_on_augmented_images(
    tiny: Callable[..., Config], kind: str, micro_batch: int | None
) -> None:
    # So that one adjustment is seen.
    keys = {"rise_images": 8, "adjust_every": 2, "target": 0.0} if kind == "ada" else {}
    config = tiny(
        objective={**LOGISTIC, "penalty_every": 2} if kind == "ada" else PLAIN,
        augmentation={"kind": kind, **keys},
        run={"micro_batch": micro_batch},
    )
    models, step = models_and_step(config, index=2)
    metrics = after_steps(step, config, 4)
    assert all(np.isfinite(value) for value in metrics.values())
    names = {name for name in models.variables if name.startswith("augmentation_")}
    if kind == "diffaugment":
        assert not names
        return
    assert len(names) == 3
    assert {"real_sign", "augmentation_probability"} <= metrics.keys()
    assert metrics["augmentation_probability"] in (0.0, 1.0)


def test_penalties_are_of_gradients_at_images_as_they_are(tiny: Callable[..., Config]) -> None:
    augmentation = {"kind": "ada", "pipeline": "bgc", "probability": 1.0}
    config = tiny(objective=LOGISTIC, augmentation=augmentation)
    phase = config.schedule.build().phases[2]
    models, _ = models_and_step(config, index=2)
    reals = tf.random.stateless_normal((8, 8, 8, 1), (0, 0))
    labels = tf.zeros((8, 0))
    draws = models.augmentation.draws((3, 4), reals.shape)
    with tf.GradientTape() as tape:
        tape.watch(reals)
        scores = models.discriminator(models.augmentation.apply(reals, draws))["scores"]
    gradient = tape.gradient(scores, reals).numpy()
    expected = np.square(gradient).sum(axis=(1, 2, 3)).mean() / 2
    latents = LatentBatch(tf.random.stateless_normal((8, 8), (1, 1)))
    batch = CriticBatch(reals, latents, labels, None, None, draws, draws)
    metrics = DiscriminatorUpdates(config, phase, models, replicas=1).update(batch)
    assert float(metrics["r1"]) == pytest.approx(expected, rel=1e-4)
