"""Adaptive instance normalisation: a style sets the mean and variance of every feature map."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from layers.equalized import EqualizedDense


@keras.saving.register_keras_serializable(package="growgan")
class AdaIN(keras.layers.Layer):
    """Normalise each feature map of each image, then scale and shift it by a style.

    `y = (x - mean_{h,w}) * rsqrt(var_{h,w} + epsilon) * (scale + 1) + shift`, where
    `(scale, shift) = EqualizedDense(2·channels, gain=1)(styles)`; statistics in float32 at least.

    Args:
        epsilon: Added to the variance.
        seed: Seed of the first weights; None draws one.

    Call: `[(batch, height, width, channels), (batch, styles)] → (batch, height, width, channels)`.

    Example:
        >>> AdaIN()([keras.ops.ones((2, 4, 4, 3)), keras.ops.ones((2, 8))]).shape
        TensorShape([2, 4, 4, 3])

    Source: arXiv:1812.04948, section 2 and the official `style_mod` and `instance_norm`.
    """

    def __init__(self, epsilon: float = 1e-8, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.seed = seed

    def build(self, input_shape: list[tuple[Any, ...]]) -> None:
        features_shape, styles_shape = input_shape
        self.affine = EqualizedDense(
            2 * features_shape[-1],
            gain=1.0,
            seed=self.seed,
            dtype=self.dtype_policy,
            name="affine",
        )
        # Built here: a variable made inside a distributed step would fail.
        self.affine.build(styles_shape)

    def call(self, inputs: list[Any]) -> Any:
        features, styles = inputs
        # Half precision would lose the variance to rounding.
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        x = ops.cast(features, dtype)
        x = x - ops.mean(x, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(x), axis=(1, 2), keepdims=True)
        modulation = ops.cast(self.affine(styles), dtype)
        scale, shift = ops.split(modulation[:, None, None, :], 2, axis=-1)
        # One factor per feature map, so that its pixels are multiplied once. With `scale + 1`
        # zero biases mean no change of scale, as in the official code.
        factor = ops.rsqrt(variance + self.epsilon) * (scale + 1.0)
        return ops.cast(x * factor + shift, self.compute_dtype)

    def compute_output_shape(self, input_shape: list[Any]) -> tuple[int | None, ...]:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon, "seed": self.seed}
