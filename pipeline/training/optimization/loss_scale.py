"""Dynamic loss scaling, which keeps float16 gradients from becoming zero or infinite.

Source: arXiv:1710.03740, section 3.2.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from pipeline.objectives.replicas import mean_over_replicas

START = 2.0**15
SMALLEST, LARGEST = 2.0**-24, 2.0**24
PATIENCE = 2000  # Number of good updates in a row after which the factor doubles.


# `keras.optimizers.LossScaleOptimizer` checks the gradients of the first replica only: an overflow
# on another replica would reach the weights.
class LossScale:
    """Factor on a network's loss: halves when gradients overflow, doubles after good updates."""

    def __init__(self, name: str) -> None:
        def variable(part: str, value: Any, dtype: str) -> keras.Variable:
            return keras.Variable(
                value,
                dtype=dtype,
                trainable=False,
                autocast=False,
                name=f"{name}_{part}",
                aggregation="only_first_replica",  # All replicas take the same decisions.
            )

        self._factor = variable("loss_scale", START, "float32")
        self._good_updates = variable("good_updates", 0, "int32")

    @property
    def variables(self) -> tuple[keras.Variable, ...]:
        """Variables that a checkpoint holds."""
        return self._factor, self._good_updates

    @property
    def factor(self) -> Any:
        """Factor `()` to multiply the loss with, and to divide its gradients by."""
        return tf.identity(self._factor.value)

    @property
    def root(self) -> Any:
        """Square root of the factor, `()`, to scale a float16 gradient that a loss contains."""
        # One root scales the inner derivative, and the other root is left for the outer one. With
        # the whole factor inside, as in the official code, factors cancel in the second derivative.
        return tf.sqrt(self.factor)

    def apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Any],
        norm: Any,
        metrics: dict[str, Any],
    ) -> dict[str, Any]:
        """Step the optimizer, or skip the update if a gradient is not finite; adjust the factor.

        A skipped update changes neither the weights nor the optimizer.

        Returns:
            Metrics, with 0 in place of non-finite values of a skipped update.
        """
        # Decide over all replicas, so that all skip the same updates.
        finite = tf.math.is_finite(mean_over_replicas(norm))
        factor, good_updates = self.factor, tf.identity(self._good_updates.value)
        _apply_if(finite, optimizer, gradients)
        for variable, value in zip(
            self.variables, adjusted_scale(factor, good_updates, finite), strict=True
        ):
            variable.value.assign(value)
        # At the smallest factor, scaling did not cause the overflow: keep it, to stop the run.
        forgiven = tf.logical_and(tf.logical_not(finite), factor > SMALLEST)
        return {
            name: tf.where(tf.logical_and(forgiven, ~tf.math.is_finite(value)), 0.0, value)
            for name, value in metrics.items()
        }


def adjusted_scale(factor: Any, good_updates: Any, finite: Any) -> tuple[Any, Any]:
    """Compute the next factor, and the number of good updates since it changed.

    The factor halves after a non-finite update, and doubles after `PATIENCE` good ones in a row.
    """
    doubled = good_updates + 1 >= PATIENCE
    larger = tf.where(doubled, tf.minimum(factor * 2.0, LARGEST), factor)
    counted = tf.where(tf.logical_and(finite, ~doubled), good_updates + 1, 0)
    return tf.where(finite, larger, tf.maximum(factor / 2.0, SMALLEST)), counted


def _apply_if(finite: Any, optimizer: keras.optimizers.Optimizer, gradients: list[Any]) -> None:
    def across_replicas(
        strategy: tf.distribute.Strategy, finite: Any, gradients: list[Any]
    ) -> None:
        # Put the condition around the replicas: under a mirrored strategy, optimizers cannot update
        # inside a condition of one replica.
        tf.cond(
            strategy.experimental_local_results(finite)[0],
            lambda: strategy.extended.call_for_each_replica(optimizer.apply, args=(gradients,)),
            lambda: None,
        )

    tf.distribute.get_replica_context().merge_call(across_replicas, args=(finite, gradients))
