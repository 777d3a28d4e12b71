"""A loss in which samples meet, as its tangent, which is a sum over samples.

The mean score of a relativistic loss, or the mean path length, takes in every sample of the global
batch. Once all scores are known, the loss may be replaced by its tangent there: it has the same
value and the same gradient, and each sample has a term of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf


class Tangent(NamedTuple):
    """`loss + Σ slope · (value - point)`, a sample.

    Args:
        losses: At the points, `(batch, 1)`.
        points: Scores or other values `(batch, 1)`, in the order of the loss's arguments.
        slopes: The derivative of the loss summed over all samples of all replicas, by each point.
    """

    losses: Any
    points: tuple[Any, ...]
    slopes: tuple[Any, ...]

    def __call__(self, *values: Any) -> Any:
        """The loss at values that are the points; what matters is that gradients flow through."""
        pairs = zip(self.slopes, values, self.points, strict=True)
        return self.losses + tf.add_n([slope * (value - point) for slope, value, point in pairs])


def tangent_at(loss: Callable[..., Any], *points: Any) -> Tangent:
    """The tangent of a loss `(batch, 1), … → (batch, 1)`. To be called in a replica.

    Example:
        >>> float(tangent_at(tf.square, tf.constant([[3.0]]))(tf.constant([[4.0]])))
        15.0
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(points)
        losses = loss(*points)
    return Tangent(losses, points, tuple(tape.gradient(losses, points)))
