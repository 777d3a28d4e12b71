"""Learned constant: the input of the first block in the generators of StyleGAN and StyleGAN2."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="growgan")
class LearnedConstant(keras.layers.Layer):
    """Trained feature maps, the same for every sample of a batch.

    Args:
        shape: `(height, width, channels)` of the feature maps.
        initializer: Keras initializer: `"ones"` (StyleGAN) or `RandomNormal(stddev=1.0)`
            (StyleGAN2). Not the name `"random_normal"`: it means a standard deviation of 0.05.

    Call: `(batch, anything…) → (batch, height, width, channels)`; only the batch size is read.

    Example:
        >>> LearnedConstant((4, 4, 8))(keras.ops.ones((2, 16))).shape
        TensorShape([2, 4, 4, 8])

    Source: arXiv:1812.04948, section 2.1.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        initializer: str | keras.initializers.Initializer = "ones",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shape = tuple(shape)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.constant = self.add_weight(
            shape=self.shape, initializer=self.initializer, name="constant"
        )

    def call(self, inputs: Any) -> Any:
        return ops.broadcast_to(self.constant[None], (ops.shape(inputs)[0], *self.shape))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "shape": self.shape,
            "initializer": keras.initializers.serialize(self.initializer),
        }
