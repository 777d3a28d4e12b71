"""Learned bias per channel, for StyleGAN's convolutions that a blur follows."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="growgan")
class Bias(keras.layers.Layer):
    """Add a learned bias to each channel.

    `y = x + b`, where b starts at 0. Use it after a blur that follows a convolution without bias:
    the blur pads with zeros, so a bias added before it would fade at the border.

    Call: `(..., channels) → same`.

    Example:
        >>> Bias()(keras.ops.ones((2, 4, 4, 3))).shape
        TensorShape([2, 4, 4, 3])

    Source: the official StyleGAN `apply_bias`; arXiv:1812.04948, figure 1.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.bias = self.add_weight(
            shape=input_shape[-1:], initializer="zeros", name="bias", autocast=False
        )

    def call(self, inputs: Any) -> Any:
        return inputs + ops.cast(self.bias, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        # Defined although it adds nothing: Keras fails to derive it if `dtype` is a policy object.
        return super().get_config()
