"""Pixel normalisation of ProGAN and the StyleGANs: unit mean square of each feature vector."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="growgan")
class PixelNorm(keras.layers.Layer):
    """Divide each feature vector by its root mean square over the channels.

    `y = x * rsqrt(mean_c(x²) + epsilon)`, in float32 at least.

    Args:
        epsilon: Added to the mean square, inside the root.

    Call: `(..., channels) → same`.

    Example:
        >>> float(PixelNorm()(keras.ops.full((1, 4), 3.0))[0, 0])
        1.0

    Source: arXiv:1710.10196, section 4.2.
    """

    def __init__(self, epsilon: float = 1e-8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, inputs: Any) -> Any:
        # Use float32 at least: float16 would need a larger epsilon, 1e-4 in the official code.
        x = ops.cast(inputs, keras.backend.result_type(self.compute_dtype, "float32"))
        mean_square = ops.mean(ops.square(x), axis=-1, keepdims=True)
        return ops.cast(x * ops.rsqrt(mean_square + self.epsilon), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
