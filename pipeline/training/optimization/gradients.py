"""Update of one network: compute gradients of its loss, maybe in micro-batches, and apply them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import keras
import tensorflow as tf

from pipeline.training.alarms.non_finite import half_squared_norms
from pipeline.training.optimization.loss_scale import LossScale
from pipeline.training.optimization.micro_batches import Batch, take_micro_batch

Metrics: TypeAlias = dict[str, Any]
"""Results of an update by name, in the order of computation: scalars are logged, vectors are only
checked for non-finite values."""
Losses: TypeAlias = tuple[Any, Metrics]
"""Loss per sample, or one loss for all samples, and metrics that were computed with it."""


class Term(NamedTuple):
    """Weighted regulariser of a loss; `value` computes it per sample, or once for all samples."""

    name: str
    weight: float
    value: Callable[[], Any]


def add_terms(losses: Any, terms: Iterable[Term]) -> Losses:
    """Add regularisers to losses, and return the sum and the mean of each regulariser."""
    metrics = {}
    for term in terms:
        # Compute nothing for a weight of 0.
        if term.weight:
            values = term.value()
            losses += term.weight * values
            metrics[term.name] = tf.reduce_mean(values)
    return losses, metrics


class LossAndGradients(NamedTuple):
    """Loss, gradients and metrics of one update."""

    loss: Any  # Mean loss over the samples of this replica, `()`
    gradients: list[Any]
    """Gradients of the loss, divided by the number of replicas, times the loss scale."""
    metrics: Metrics  # Means over the samples of this replica, and vectors with a value per sample

    def plus(self, other: LossAndGradients) -> LossAndGradients:
        """Add another loss of the same network, its gradients and its metrics."""
        return LossAndGradients(
            self.loss + other.loss,
            [mine + theirs for mine, theirs in zip(self.gradients, other.gradients, strict=True)],
            self.metrics | other.metrics,
        )


@dataclass(frozen=True)
class Learner:
    """Network in training, as each replica updates it."""

    name: str  # Name of the network in metrics
    variables: Sequence[Any]  # Trained variables of the network
    optimizer: keras.optimizers.Optimizer  # Optimizer of these variables
    scale: LossScale | None  # Loss scale under float16, else None
    replicas: int  # Number of replicas over which gradients are summed
    clip_norm: float | None = None  # Maximum norm of the whole gradient, None for no limit
    weight_clip: float | None = None  # Maximum absolute value of a variable, None for no limit

    def compute(
        self,
        losses: Callable[[Batch, Sequence[Term]], Losses],
        batch: Batch,
        parts: int,
        terms: Sequence[Term] = (),
    ) -> LossAndGradients:
        """Compute the mean loss of a replica's batch and its gradients.

        Args:
            losses: Function from a micro-batch and regularisers to losses. It must not depend on
                other micro-batches or communicate with other replicas.
            batch: Batch of this replica.
            parts: Number of micro-batches.
            terms: Regularisers that do not use samples of `batch`, such as those of weights.
        """
        if parts == 1:
            return self._compute_whole(lambda: losses(batch, terms))
        found = self._compute_in_parts(lambda part: losses(part, ()), batch, parts)
        # Compute these terms once, not per micro-batch: they do not depend on samples.
        if any(term.weight for term in terms):
            found = found.plus(self._compute_whole(lambda: add_terms(0.0, terms)))
        return found

    def _compute_whole(self, losses: Callable[[], Losses]) -> LossAndGradients:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.variables)
            values, metrics = losses()
            # Optimizers sum gradients over replicas, but the loss is a mean over the global batch.
            loss = tf.reduce_mean(values) / self.replicas
            if self.scale is not None:
                loss *= self.scale.factor
        # Zeros where the loss does not depend on a weight, as gradient penalties on the last bias.
        gradients = tape.gradient(
            loss, self.variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return LossAndGradients(tf.reduce_mean(values), gradients, metrics)

    def _compute_in_parts(
        self, losses: Callable[[Batch], Losses], batch: Batch, parts: int
    ) -> LossAndGradients:
        shapes: dict[str, Any] = {}

        def add(number: Any, total: list[Any], means: Any) -> tuple[Any, ...]:
            found = self._compute_whole(lambda: losses(take_micro_batch(batch, number, parts)))
            # Tracing this body makes the names and shapes of metrics known outside the loop.
            shapes.update({name: value.shape for name, value in found.metrics.items()})
            values = [tf.reshape(value, [-1]) for value in (found.loss, *found.metrics.values())]
            return (
                number + 1,
                [before + new for before, new in zip(total, found.gradients, strict=True)],
                means.write(number, tf.concat(values, axis=0)),
            )

        start = (
            0,
            [tf.zeros(variable.shape) for variable in self.variables],
            tf.TensorArray(tf.float32, size=parts),
        )
        # Loop, one iteration at a time: TensorFlow would run unrolled micro-batches side by side,
        # with all of them in memory.
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

    def apply_gradients(self, found: LossAndGradients, metrics: Metrics) -> Metrics:
        """Unscale and clip gradients, step the optimizer, clip weights; add norms to metrics."""
        gradients, factor = found.gradients, None
        if self.scale is not None:
            factor = self.scale.factor
            gradients = [gradient / factor for gradient in gradients]
        metrics = metrics | {f"{self.name}_gradients": half_squared_norms(gradients)}
        gradients, norm = self._clip(gradients)
        metrics |= {f"{self.name}_gradient_norm": norm}
        if self.scale is None:
            self.optimizer.apply(gradients)
        else:
            metrics = self.scale.apply(self.optimizer, gradients, norm, metrics)
            metrics |= {f"{self.name}_loss_scale": factor}
        if self.weight_clip is not None:
            clip_weights(self.variables, self.weight_clip)
        return metrics

    def _clip(self, gradients: list[Any]) -> tuple[list[Any], Any]:
        """Clip gradients to the maximum norm; also returns the norm before."""
        # Do not let Keras clip: it clips each replica's gradients before they are summed.
        limit = self.clip_norm
        if limit is None:
            # Estimate the norm from this replica alone: nothing has to be exchanged.
            return gradients, tf.linalg.global_norm(gradients) * self.replicas
        summed = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, gradients
        )
        norm = tf.linalg.global_norm(summed)
        return [gradient * (limit / tf.maximum(norm, limit)) for gradient in gradients], norm


def clip_weights(variables: Iterable[Any], bound: float) -> None:
    """Clip weights, `w ← min(max(w, -bound), bound)`, in a replica. Source: arXiv:1701.07875."""

    def clip(strategy: tf.distribute.Strategy) -> None:
        for variable in variables:
            strategy.extended.update(
                variable, lambda w: w.assign(tf.clip_by_value(w, -bound, bound)), group=False
            )

    # Leave the replica: it alone cannot assign a variable that all replicas share.
    tf.distribute.get_replica_context().merge_call(clip)
