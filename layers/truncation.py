"""The truncation trick: styles are drawn towards their mean."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="growgan")
class Truncation(keras.layers.Layer):
    """Hold the mean of all styles, and draw the styles of the first layers towards it.

    `y_i = mean + psi * (w_i - mean)` for layers `i < cutoff`, and `w_i` for the others, in float32
    at least. The mean is a weight that is assigned, not trained; it starts at 0.

    Call: `(batch, layers, styles) → same`, with `psi`, a number or a scalar tensor, and `cutoff`,
    the number of layers that it applies to, None for all. With the number 1 for `psi`, as it is if
    not told, the result is what came, bit for bit.

    Example:
        >>> half = Truncation()(keras.ops.ones((1, 2, 3)), psi=0.5, cutoff=1)
        >>> half[0, :, 0].numpy().tolist()
        [0.5, 1.0]

    Source: arXiv:1812.04948, appendix B.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.mean = self.add_weight(
            shape=input_shape[-1:],
            initializer="zeros",
            trainable=False,
            autocast=False,
            name="mean",
        )

    def call(self, inputs: Any, psi: Any = 1.0, cutoff: int | None = None) -> Any:
        if isinstance(psi, (int, float)) and psi == 1:
            return inputs
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        styles, mean = (ops.cast(x, dtype) for x in (inputs, self.mean))
        truncated = mean + ops.cast(psi, dtype) * (styles - mean)
        if cutoff is not None:
            truncated = ops.concatenate([truncated[:, :cutoff], styles[:, cutoff:]], axis=1)
        return ops.cast(truncated, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        # Keras makes a configuration up by itself, but not where `dtype` is a policy object.
        return super().get_config()
