"""EMA of the generator's weights, and running means of styles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.config import OptimizerConfig


def decay_per_step(optimizer: OptimizerConfig, images: int) -> float:
    """Decay of the EMA in a step on `images`: `0.5^(images / half-life)`, or the configured one."""
    if optimizer.average_decay is not None:
        return optimizer.average_decay
    return float(0.5 ** (images / optimizer.average_half_life))


STYLE_MEAN_DECAY = 0.995  # Decay of the running mean of styles, per step.


def move_style_means(means: Sequence[keras.Variable], style: Any) -> None:
    """Update running means: `mean ← style + (mean - style) · 0.995`. Call it across replicas.

    Source: arXiv:1812.04948, appendix B, and the official code.
    """
    for mean in means:
        mean.assign(style + (mean.value - style) * STYLE_MEAN_DECAY)


def update_average(
    strategy: tf.distribute.Strategy, average: keras.Model, model: keras.Model, decay: float
) -> None:
    """Update the EMA, `average ← average + (model - average) · (1 - decay)`, across replicas."""

    def lerp(target: Any, value: Any) -> Any:
        return target.assign_add((value - target) * (1.0 - decay))

    # Both models have the same architecture, so their weights pair by order.
    pairs = zip(average.trainable_variables, model.trainable_variables, strict=True)
    for target, source in pairs:
        strategy.extended.update(target.value, lerp, args=(source.value,))
