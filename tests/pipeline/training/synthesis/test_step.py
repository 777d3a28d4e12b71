"""A phase is compiled once, and trains every weight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from tests.pipeline.training.steps import models_and_step


@pytest.mark.parametrize(
    ("precision", "labels"),
    [pytest.param("float32", False, marks=pytest.mark.slow), ("mixed_bfloat16", True)],
)
def test_a_phase_traces_once_and_moves_every_weight(
    tiny: Callable[..., Config], precision: str, labels: bool
) -> None:
    config = tiny(data={"labels": labels}, run={"precision": precision})
    models, step = models_and_step(config, 1)
    before = [w.numpy() for w in models.generator.trainable_variables]
    critic_before = [w.numpy() for w in models.discriminator.trainable_variables]
    batch = {
        "images": tf.random.stateless_uniform((8, 8, 8, 1), (0, 0), maxval=256, dtype=tf.int32),
        "labels": tf.one_hot(tf.range(8), 10 if labels else 0),
    }
    batch["images"] = tf.cast(batch["images"], tf.uint8)
    for number in range(3):
        metrics = step([batch], number * 8, number / 10)
    assert step.finish.experimental_get_tracing_count() == 1
    assert all(np.isfinite(float(value)) for value in metrics.values())
    assert {value.dtype for value in metrics.values()} == {tf.float32}
    for model, weights in ((models.generator, before), (models.discriminator, critic_before)):
        for old, new in zip(weights, model.trainable_variables, strict=True):
            assert (old != new.numpy()).any(), new.path
    assert float(models.alphas[0].value) == pytest.approx(0.2)
