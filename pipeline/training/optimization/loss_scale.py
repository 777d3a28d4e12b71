"""Dynamic loss scaling: the factor that keeps float16 gradients from becoming zero or infinite.

Source: arXiv:1710.03740, section 3.2. `keras.optimizers.LossScaleOptimizer` looks at the gradients
of the first replica alone: what overflows on another would reach the weights.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from pipeline.objectives.replicas import mean_over_replicas

START = 2.0**15
SMALLEST, LARGEST = 2.0**-24, 2.0**24
PATIENCE = 2000
"""Good updates in a row after which the factor is doubled."""


class LossScale:
    """The factor on the loss of one network: halved when gradients overflow, doubled in good times.

    To be made in a strategy's scope. All replicas decide alike.

    Args:
        name: Name of the network.
    """

    def __init__(self, name: str) -> None:
        def variable(part: str, value: Any, dtype: str) -> keras.Variable:
            return keras.Variable(
                value,
                dtype=dtype,
                trainable=False,
                autocast=False,
                name=f"{name}_{part}",
                aggregation="only_first_replica",
            )

        self._factor = variable("loss_scale", START, "float32")
        self._good_updates = variable("good_updates", 0, "int32")

    @property
    def variables(self) -> tuple[keras.Variable, ...]:
        """Variables that a checkpoint holds."""
        return self._factor, self._good_updates

    @property
    def factor(self) -> Any:
        """Factor `()` by which the loss is multiplied and its gradients are divided."""
        return tf.identity(self._factor.value)

    @property
    def root(self) -> Any:
        """Factor `()` for losses that are made of a gradient, which is float16 itself.

        Half of the factor, in powers of two, then lifts the inner derivative, and the other half is
        left for the outer one.
        """
        return tf.sqrt(self.factor)

    def apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[Any],
        norm: Any,
        metrics: dict[str, Any],
    ) -> dict[str, Any]:
        """Update with gradients that are unscaled again, unless one is not finite; then adjust.

        An update that is skipped changes neither weights nor optimizer.

        Args:
            optimizer: Optimizer of the network.
            gradients: Gradients that sum to the whole over replicas.
            norm: Theirs, on this replica.
            metrics: Metrics of this update.

        Returns:
            The metrics. Of a skipped update they have 0 for what is not finite: its gradient's
            norm, and what the factor made overflow. Once the factor is the smallest it is to
            blame no more, and they stay as they are: what is not finite stops a run.
        """
        finite = tf.math.is_finite(mean_over_replicas(norm))
        factor, good_updates = self.factor, tf.identity(self._good_updates.value)
        _apply_if(finite, optimizer, gradients)
        for variable, value in zip(
            self.variables, adjusted(factor, good_updates, finite), strict=True
        ):
            variable.value.assign(value)
        forgiven = tf.logical_and(tf.logical_not(finite), factor > SMALLEST)
        return {
            name: tf.where(tf.logical_and(forgiven, ~tf.math.is_finite(value)), 0.0, value)
            for name, value in metrics.items()
        }


def adjusted(factor: Any, good_updates: Any, finite: Any) -> tuple[Any, Any]:
    """The next factor and count of good updates since it changed.

    Halved after an update that is not finite, doubled after `PATIENCE` others in a row.
    """
    doubled = good_updates + 1 >= PATIENCE
    larger = tf.where(doubled, tf.minimum(factor * 2.0, LARGEST), factor)
    counted = tf.where(tf.logical_and(finite, ~doubled), good_updates + 1, 0)
    return tf.where(finite, larger, tf.maximum(factor / 2.0, SMALLEST)), counted


def _apply_if(finite: Any, optimizer: keras.optimizers.Optimizer, gradients: list[Any]) -> None:
    def across_replicas(
        strategy: tf.distribute.Strategy, finite: Any, gradients: list[Any]
    ) -> None:
        # Optimizers cannot update inside a condition of one replica, but replicas can inside one.
        tf.cond(
            strategy.experimental_local_results(finite)[0],
            lambda: strategy.extended.call_for_each_replica(optimizer.apply, args=(gradients,)),
            lambda: None,
        )

    tf.distribute.get_replica_context().merge_call(across_replicas, args=(finite, gradients))
