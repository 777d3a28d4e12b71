"""Adaptive instance normalisation (AdaIN), by which styles control StyleGAN's feature maps."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from layers.equalized import EqualizedDense


@keras.saving.register_keras_serializable(package="growgan")
class AdaIN(keras.layers.Layer):
    """Normalise each feature map of each image; scale and shift it by values from the style.

    `y = (x - mean_{h,w}) * rsqrt(var_{h,w} + epsilon) * (scale + 1) + shift`, where
    `(scale, shift) = EqualizedDense(2·channels, gain=1)(style)`. Float32 at least is used for all
    but the dense layer.

    Args:
        epsilon: Added to the variance.
        seed: Seed of the dense layer's initial weights; None draws one.

    Call: `[(batch, height, width, channels), (batch, style_size)]
    → (batch, height, width, channels)`.

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
        # Build now: creating a variable inside a distributed training step would fail.
        self.affine.build(styles_shape)

    def call(self, inputs: list[Any]) -> Any:
        features, styles = inputs
        # Use float32 at least: half precision would lose the variance to rounding.
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        x = ops.cast(features, dtype)
        x = x - ops.mean(x, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(x), axis=(1, 2), keepdims=True)
        modulation = ops.cast(self.affine(styles), dtype)
        scale, shift = ops.split(modulation[:, None, None, :], 2, axis=-1)
        # Merge normalisation and style into one factor, so that each pixel is multiplied once.
        # `scale + 1` as in the official code: a zero output of the dense layer changes no scale.
        factor = ops.rsqrt(variance + self.epsilon) * (scale + 1.0)
        return ops.cast(x * factor + shift, self.compute_dtype)

    def compute_output_shape(self, input_shape: list[Any]) -> tuple[int | None, ...]:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon, "seed": self.seed}
