"""Micro-batches: division of a batch into equal parts, of which one is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import tensorflow as tf

from pipeline.training.distributed.replicas import share_of

Batch = TypeVar("Batch")


def micro_batches(samples: int, limit: int | None, group: int) -> int:
    """Compute how few equal micro-batches of whole groups have at most `limit` samples each.

    Example:
        >>> micro_batches(48, 32, group=4)
        2

    Args:
        samples: Samples in the batch, a multiple of the group or less than one.
        limit: Maximum number of samples per micro-batch, at least one group; None for no limit.
        group: Samples per group of the minibatch standard deviation.
    """
    if limit is None or samples <= limit:
        return 1
    groups = samples // group
    return next(
        parts for parts in range(2, groups + 1) if groups % parts == 0 and samples // parts <= limit
    )


def take_micro_batch(batch: Batch, number: Any, parts: int) -> Batch:
    """Take one micro-batch of a batch, strided like the shares of replicas."""
    return tf.nest.map_structure(
        lambda samples: None if samples is None else share_of(samples, number, parts), batch
    )


def halves(samples: Any, group_size: int) -> tuple[Any, ...]:
    """Split a batch into halves of whole groups; an odd number of groups stays in one part."""
    # `share_of` would change the order of samples, on which the last bits of sums depend.
    batch, *features = samples.shape
    groups, rest = divmod(batch, group_size)
    if rest or groups % 2:
        return (samples,)
    parts = tf.split(tf.reshape(samples, (group_size, groups, *features)), 2, axis=1)
    return tuple(tf.reshape(part, (batch // 2, *features)) for part in parts)


def map_micro_batches(
    values_of: Callable[[Batch], tuple[Any, ...]], batch: Batch, parts: int, count: int
) -> tuple[Any, ...]:
    """Compute `count` float32 values per sample in micro-batches, one after the other.

    Returns:
        Tensors `(batch, 1)`, one for each value, in the order of the batch.
    """
    stacked = tf.map_fn(
        lambda number: values_of(take_micro_batch(batch, number, parts)),
        tf.range(parts),
        fn_output_signature=(tf.float32,) * count,
        # Keep one micro-batch in memory at a time.
        parallel_iterations=1,
    )
    # Micro-batches are strided: transposing brings samples back into the order of the batch.
    return tuple(
        tf.reshape(tf.transpose(tf.reshape(values, (parts, -1))), (-1, 1)) for values in stacked
    )


class Tangent(NamedTuple):
    """Linearised loss, `loss + Σ slope · (value - point)` per sample.

    It replaces a loss in which samples meet, such as a relativistic loss. Its gradients are the
    same, and it is a sum over samples, so it can be computed in micro-batches.
    """

    losses: Any  # Losses at the points, `(batch, 1)`
    points: tuple[Any, ...]
    """Scores or other values, `(batch, 1)` each, in the order of the loss's arguments."""
    slopes: tuple[Any, ...]
    """Derivatives by each point of the loss summed over all samples of all replicas."""

    def __call__(self, *values: Any) -> Any:
        """Compute the loss at values equal to the points, with gradients through the values."""
        pairs = zip(self.slopes, values, self.points, strict=True)
        return self.losses + tf.add_n([slope * (value - point) for slope, value, point in pairs])


def tangent_at(loss: Callable[..., Any], *points: Any) -> Tangent:
    """Linearise a loss `(batch, 1), … → (batch, 1)` at some points. Call it in a replica.

    Example:
        >>> float(tangent_at(tf.square, tf.constant([[3.0]]))(tf.constant([[4.0]])))
        15.0
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(points)
        losses = loss(*points)
    return Tangent(losses, points, tuple(tape.gradient(losses, points)))
