"""Truncation trick of StyleGAN: move styles towards their mean for better, less varied images."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="growgan")
class Truncation(keras.layers.Layer):
    """Move the styles w of a generator's first layers towards the running mean of styles.

    `y_i = mean + psi * (w_i - mean)` for layers `i < cutoff`, and `y_i = w_i` for the others, in
    float32 at least. The mean is a non-trainable weight that starts at 0; training assigns it.

    Call: `(batch, layers, style_size) → same`. `psi` is a number or a tensor that broadcasts with
    the styles; `cutoff` is the number of layers that are truncated, None for all. If `psi` is the
    Python number 1 (the default), the result equals the input bit for bit.

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
            autocast=False,  # Half precision would round the mean.
            name="mean",
        )

    def call(self, inputs: Any, psi: Any = 1.0, cutoff: int | None = None) -> Any:
        # Return the input itself: `mean + (w - mean)` would change the last bits.
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
        # Defined although it adds nothing: Keras fails to derive it if `dtype` is a policy object.
        return super().get_config()
