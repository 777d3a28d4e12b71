"""The moving average of the generator's weights, from which images are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.config import OptimizerConfig


def decay_per_step(optimizer: OptimizerConfig, images: int) -> float:
    """`0.5^(images of a step / half-life)`, or the fixed decay where the configuration has one."""
    if optimizer.average_decay is not None:
        return optimizer.average_decay
    return float(0.5 ** (images / optimizer.average_half_life))


STYLE_MEAN_DECAY = 0.995
"""Share of a style's mean that a step keeps."""


def move_style_means(means: Sequence[keras.Variable], style: Any) -> None:
    """`mean ← style + (mean - style) · 0.995`, across replicas.

    Args:
        means: Means of the generator and of its average, which truncate by it.
        style: The mean style of a step's images.

    Source: arXiv:1812.04948, appendix B, and the official code.
    """
    for mean in means:
        mean.assign(style + (mean.value - style) * STYLE_MEAN_DECAY)


def update_average(
    strategy: tf.distribute.Strategy, average: keras.Model, model: keras.Model, decay: float
) -> None:
    """`average ← average + (model - average) · (1 - decay)` for every trained weight.

    Called across replicas. Both models have the same architecture, so weights pair by order.
    """

    def lerp(target: Any, value: Any) -> Any:
        return target.assign_add((value - target) * (1.0 - decay))

    pairs = zip(average.trainable_variables, model.trainable_variables, strict=True)
    for target, source in pairs:
        strategy.extended.update(target.value, lerp, args=(source.value,))
