"""Gradients of a mean loss, in one pass or in micro-batches, and their application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias, TypeVar

import keras
import tensorflow as tf

from pipeline.training.alarms.non_finite import squares
from pipeline.training.distributed.replicas import share_of
from pipeline.training.optimization.loss_scale import LossScale

Metrics: TypeAlias = dict[str, Any]
"""Results of an update in the order of computation: scalars are logged, vectors are only checked
for non-finite values."""
Batch = TypeVar("Batch")
Losses: TypeAlias = tuple[Any, Metrics]
"""Loss per sample, or one loss for all, with the metrics of its computation."""


class LossAndGradients(NamedTuple):
    """Loss, gradients and metrics of one update.

    Args:
        loss: Mean loss over the samples of this replica, `()`.
        gradients: Gradients of the loss, divided by the number of replicas, times the loss scale.
        metrics: Means over the samples of this replica.
    """

    loss: Any
    gradients: list[Any]
    metrics: Metrics


@dataclass(frozen=True)
class GradientComputer:
    """Computation of one network's gradients.

    Args:
        variables: Trained variables of the network.
        replicas: Number of replicas over which gradients will be summed.
        scale: Loss scale under float16, else None.
    """

    variables: Sequence[Any]
    replicas: int
    scale: LossScale | None

    def compute(self, losses: Callable[[], Losses]) -> LossAndGradients:
        """Compute the mean of the losses and its gradients."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.variables)
            values, metrics = losses()
            # Optimizers sum over replicas, and the loss is a mean over the global batch.
            loss = tf.reduce_mean(values) / self.replicas
            if self.scale is not None:
                loss *= self.scale.factor
        # A lazy regulariser does not depend on every weight, such as the last bias.
        gradients = tape.gradient(
            loss, self.variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return LossAndGradients(tf.reduce_mean(values), gradients, metrics)

    def compute_in_parts(
        self, losses: Callable[[Batch], Losses], batch: Batch, parts: int
    ) -> LossAndGradients:
        """Compute the same in micro-batches, of which one is in memory at a time.

        Args:
            losses: Function from a micro-batch to its losses, which must not depend on other
                micro-batches and must not communicate with other replicas.
            batch: Batch of this replica.
            parts: Number of micro-batches.
        """
        shapes: dict[str, Any] = {}

        def add(number: Any, total: list[Any], means: Any) -> tuple[Any, ...]:
            found = self.compute(lambda: losses(part_of(batch, number, parts)))
            # Names and shapes are known once the body of the loop is traced.
            shapes.update({name: value.shape for name, value in found.metrics.items()})
            values = [tf.reshape(value, [-1]) for value in (found.loss, *found.metrics.values())]
            return (
                number + 1,
                [one + other for one, other in zip(total, found.gradients, strict=True)],
                means.write(number, tf.concat(values, axis=0)),
            )

        start = (
            0,
            [tf.zeros(variable.shape) for variable in self.variables],
            tf.TensorArray(tf.float32, size=parts),
        )
        # A loop, one iteration at a time: TensorFlow would run unrolled branches side by side, with
        # all of them in memory.
        _, total, means = tf.while_loop(
            lambda number, *_: number < parts, add, start, parallel_iterations=1
        )
        sizes = [1, *(shape.num_elements() for shape in shapes.values())]
        loss, *metrics = tf.split(tf.reduce_mean(means.stack(), axis=0), sizes)
        return LossAndGradients(
            tf.squeeze(loss),
            [gradient / parts for gradient in total],
            {
                name: tf.reshape(values, shape)
                for (name, shape), values in zip(shapes.items(), metrics, strict=True)
            },
        )


def sum_of(one: LossAndGradients, other: LossAndGradients) -> LossAndGradients:
    """Add two losses, their gradients and their metrics."""
    return LossAndGradients(
        one.loss + other.loss,
        [mine + theirs for mine, theirs in zip(one.gradients, other.gradients, strict=True)],
        one.metrics | other.metrics,
    )


def micro_batches(samples: int, most: int | None, group: int) -> int:
    """Smallest number of equal micro-batches that hold whole groups and at most `most` samples.

    Example:
        >>> micro_batches(48, 32, group=4)
        2

    Args:
        samples: Samples in the batch, a multiple of the group or less than one.
        most: Maximum number of samples per micro-batch, at least a group; None for no limit.
        group: Samples per group of the minibatch standard deviation.
    """
    if most is None or samples <= most:
        return 1
    groups = samples // group
    return next(
        parts for parts in range(2, groups + 1) if groups % parts == 0 and samples // parts <= most
    )


def part_of(batch: Batch, number: Any, parts: int) -> Batch:
    """Take one micro-batch of a batch, strided like the shares of replicas."""
    return tf.nest.map_structure(
        lambda samples: None if samples is None else share_of(samples, number, parts), batch
    )


def values_in_turn(
    values_of: Callable[[Batch], tuple[Any, ...]], batch: Batch, parts: int, count: int
) -> tuple[Any, ...]:
    """Compute float32 values per sample in micro-batches, of which one is in memory at a time.

    Args:
        values_of: Function from a micro-batch to `count` values per sample.
        batch: Batch to divide.
        parts: Number of micro-batches.
        count: Number of values per sample.

    Returns:
        Tensors `(batch, 1)`, one for each value, in the order of the batch.
    """
    stacked = tf.map_fn(
        lambda number: values_of(part_of(batch, number, parts)),
        tf.range(parts),
        fn_output_signature=(tf.float32,) * count,
        parallel_iterations=1,
    )
    # Micro-batches are strided: transposing brings samples back into the order of the batch.
    return tuple(
        tf.reshape(tf.transpose(tf.reshape(values, (parts, -1))), (-1, 1)) for values in stacked
    )


@dataclass(frozen=True)
class Learner:
    """Network in training, as each replica updates it.

    Args:
        name: Name of the network in metrics.
        variables: Trained variables of the network.
        optimizer: Optimizer of these variables.
        scale: Loss scale under float16, else None.
        replicas: Number of replicas over which gradients are summed.
        clip_norm: Maximum norm of the whole gradient, None for no limit.
        weight_clip: Maximum absolute value of a variable, None for no limit.
    """

    name: str
    variables: Sequence[Any]
    optimizer: keras.optimizers.Optimizer
    scale: LossScale | None
    replicas: int
    clip_norm: float | None = None
    weight_clip: float | None = None

    @cached_property
    def computer(self) -> GradientComputer:
        """Computation of the network's gradients."""
        return GradientComputer(self.variables, self.replicas, self.scale)

    def apply_gradients(self, found: LossAndGradients, metrics: Metrics) -> Metrics:
        """Unscale, clip, step the optimizer and clip weights; returns metrics with the norm.

        Args:
            found: Gradients of this replica, whose sum over replicas is the gradient.
            metrics: Metrics to extend.
        """
        metrics = self._update(found.gradients, metrics)
        if self.weight_clip is not None:
            clip_weights(self.variables, self.weight_clip)
        return metrics

    def _update(self, gradients: list[Any], metrics: Metrics) -> Metrics:
        factor = None if self.scale is None else self.scale.factor
        if factor is not None:
            gradients = [gradient / factor for gradient in gradients]
        metrics = metrics | {f"{self.name}_gradients": squares(gradients)}
        gradients, norm = self._clipped(gradients)
        metrics |= {f"{self.name}_gradient_norm": norm}
        if self.scale is None:
            self.optimizer.apply(gradients)
            return metrics
        metrics = self.scale.apply(self.optimizer, gradients, norm, metrics)
        return metrics | {f"{self.name}_loss_scale": factor}

    def _clipped(self, gradients: list[Any]) -> tuple[list[Any], Any]:
        """Clip gradients to the maximum norm; also returns the norm before."""
        # Not by Keras, which clips each replica's gradients before they are summed.
        most = self.clip_norm
        if most is None:
            # An estimate from this replica alone: it needs no exchange.
            return gradients, tf.linalg.global_norm(gradients) * self.replicas
        whole = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, gradients
        )
        norm = tf.linalg.global_norm(whole)
        return [gradient * (most / tf.maximum(norm, most)) for gradient in gradients], norm


def clip_weights(variables: Iterable[Any], bound: float) -> None:
    """Clip weights, `w ← min(max(w, -bound), bound)`, in a replica. Source: arXiv:1701.07875."""

    def clip(strategy: tf.distribute.Strategy) -> None:
        for variable in variables:
            strategy.extended.update(
                variable, lambda w: w.assign(tf.clip_by_value(w, -bound, bound)), group=False
            )

    tf.distribute.get_replica_context().merge_call(clip)


class Tangent(NamedTuple):
    """Linearised loss, `loss + Σ slope · (value - point)` per sample.

    It replaces a loss in which samples meet: its gradients are the same, and it is a sum over
    samples, so it can be computed in micro-batches.

    Args:
        losses: Losses at the points, `(batch, 1)`.
        points: Scores or other values, `(batch, 1)` each, in the order of the loss's arguments.
        slopes: Derivatives by each point of the loss summed over all samples of all replicas.
    """

    losses: Any
    points: tuple[Any, ...]
    slopes: tuple[Any, ...]

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
