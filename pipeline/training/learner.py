"""How a network follows its gradients: without their scale, and no further than it may."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import tensorflow as tf

from pipeline.training.alarms.non_finite import squares
from pipeline.training.descent import Descender, Descent, Metrics
from pipeline.training.loss_scale import LossScale


@dataclass(frozen=True)
class Learner:
    """A network that learns, on each of several replicas.

    Args:
        name: Of the network, in metrics.
        variables: What it learns.
        optimizer: Of those.
        scale: By which its losses are multiplied under float16.
        replicas: Over which gradients are summed.
        clip_norm: Largest norm of the whole gradient.
        weight_clip: Largest absolute value of a variable.
    """

    name: str
    variables: Sequence[Any]
    optimizer: keras.optimizers.Optimizer
    scale: LossScale | None
    replicas: int
    clip_norm: float | None = None
    weight_clip: float | None = None

    @cached_property
    def descender(self) -> Descender:
        """Takes its gradients."""
        return Descender(self.variables, self.replicas, self.scale)

    def follow(self, descent: Descent, metrics: Metrics) -> Metrics:
        """Update with gradients that sum to the whole over replicas; metrics with their norm."""
        metrics = self._update(descent.gradients, metrics)
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
        """The gradients, shortened where they must be, and the norm that they had.

        Keras' own clipping looks at each replica's gradients before they are summed.
        """
        most = self.clip_norm
        if most is None:
            return gradients, tf.linalg.global_norm(gradients) * self.replicas
        whole = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, gradients
        )
        norm = tf.linalg.global_norm(whole)
        return [gradient * (most / tf.maximum(norm, most)) for gradient in gradients], norm


def clip_weights(variables: Iterable[Any], bound: float) -> None:
    """`w ← min(max(w, -bound), bound)`, called in a replica. Source: arXiv:1701.07875."""

    def clip(strategy: tf.distribute.Strategy) -> None:
        for variable in variables:
            strategy.extended.update(
                variable, lambda w: w.assign(tf.clip_by_value(w, -bound, bound)), group=False
            )

    tf.distribute.get_replica_context().merge_call(clip)
