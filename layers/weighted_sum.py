"""Fade-in of a new resolution in a progressively growing network (ProGAN, StyleGAN)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="growgan")
class WeightedSum(keras.layers.Layer):
    """Blend the outputs of two paths: the old one, and the one with the new resolution's blocks.

    `y = (1 - alpha) * old + alpha * new` in float32 at least; exactly `old` for alpha = 0 and
    exactly `new` for alpha = 1.

    Args:
        alpha: Initial weight of the new path, from 0 to 1. Training assigns the weight `alpha`.

    Call: `[old, new] → blend`, all of shape `(batch, height, width, channels)`.

    Raises:
        ValueError: if `alpha` is outside 0 to 1.

    Example:
        >>> float(WeightedSum(0.25)([keras.ops.zeros((1,)), keras.ops.ones((1,))])[0])
        0.25

    Source: arXiv:1710.10196, section 2, figure 2.
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"`alpha` must be from 0 to 1. Received: alpha={alpha}")
        self.initial_alpha = alpha

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        self.alpha = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.initial_alpha),
            trainable=False,  # Assigned, not trained; a weight can change without a new trace.
            autocast=False,  # Half precision would round alpha.
            name="alpha",
        )

    def call(self, inputs: list[Any]) -> Any:
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        old, new = (ops.cast(x, dtype) for x in inputs)
        alpha = ops.cast(self.alpha, dtype)
        # Not `old + alpha * (new - old)`: for alpha = 1 that is not exactly `new`.
        return ops.cast((1.0 - alpha) * old + alpha * new, self.compute_dtype)

    def compute_output_shape(self, input_shape: list[Any]) -> tuple[int | None, ...]:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.initial_alpha}
