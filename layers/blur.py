"""Fixed separable low-pass filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="growgan")
class Blur(keras.layers.Layer):
    """Filter every channel with the same small kernel, zero-padded to keep the size.

    `y = x * (f ⊗ f) / sum(f ⊗ f)` for the taps f.

    Args:
        taps: Taps of the separable filter, an odd number so that images do not shift.

    Call: `(batch, height, width, channels) → same`.

    Raises:
        ValueError: if the number of taps is even or their sum is zero.

    Example:
        >>> Blur()(keras.ops.ones((1, 4, 4, 3))).shape
        TensorShape([1, 4, 4, 3])

    Source: the official StyleGAN `blur2d`; arXiv:1812.04948, section 2.1 (bilinear sampling).
    """

    def __init__(self, taps: Sequence[float] = (1.0, 2.0, 1.0), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.taps = tuple(float(tap) for tap in taps)
        if len(self.taps) % 2 == 0 or sum(self.taps) == 0:
            raise ValueError(
                f"`taps` must be odd in number and not sum to zero. Received: taps={self.taps}"
            )

    def call(self, inputs: Any) -> Any:
        kernel = np.outer(self.taps, self.taps)
        kernel = (kernel / kernel.sum())[:, :, None, None]
        channels = inputs.shape[-1]
        kernel = ops.convert_to_tensor(np.tile(kernel, (1, 1, channels, 1)), self.compute_dtype)
        return ops.depthwise_conv(inputs, kernel, padding="same")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "taps": self.taps}
