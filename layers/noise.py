"""Noise per pixel of the StyleGANs: a layer that adds given noise, and one with fixed noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="growgan")
class Noise(keras.layers.Layer):
    """Add a given noise map to every feature map, with a learned strength.

    `y = x + gain * strength * noise`; the strength starts at 0.

    Args:
        per_channel: True for one strength per channel (StyleGAN), False for a single one
            (StyleGAN2).
        gain: Factor on the noise. For StyleGAN2 sqrt(2): it replaces the gain after the leaky ReLU,
            as `bias_gain` of `EqualizedDense` does.

    Call: `[(batch, height, width, channels), (batch or 1, height, width, 1)]
    → (batch, height, width, channels)`.

    Example:
        >>> x = keras.ops.ones((2, 4, 4, 3))
        >>> Noise()([x, keras.random.normal((2, 4, 4, 1), seed=0)]).shape
        TensorShape([2, 4, 4, 3])

    Source: arXiv:1812.04948, section 2 (B in figure 1); arXiv:1912.04958, appendix B.
    """

    def __init__(self, per_channel: bool = True, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.per_channel = per_channel
        self.gain = gain

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        channels = input_shape[0][-1]
        self.strength = self.add_weight(
            shape=(channels,) if self.per_channel else (), initializer="zeros", name="strength"
        )

    def call(self, inputs: list[Any]) -> Any:
        # Take noise as an input instead of drawing it: the training step draws it from the run's
        # seed and the step's number, so that a run can be repeated.
        features, noise = inputs
        return features + noise * (self.strength * self.gain)

    def compute_output_shape(self, input_shape: list[Any]) -> tuple[int | None, ...]:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "per_channel": self.per_channel, "gain": self.gain}


@keras.saving.register_keras_serializable(package="growgan")
class FixedNoise(keras.layers.Layer):
    """Map of standard normal noise, the same for every sample and every call.

    It is a saved weight, for models whose images depend on their inputs alone.

    Args:
        side: Side of a square map in pixels, or height and width of the map.
        seed: Seed of the map; None draws one.

    Call: `(batch, anything…) → (batch, height, width, 1)`; only the batch size is read.

    Raises:
        ValueError: if a side is not positive.

    Example:
        >>> FixedNoise(4)(keras.ops.ones((2, 16))).shape
        TensorShape([2, 4, 4, 1])

    Source: the official StyleGAN `G_synthesis`, which keeps such maps for evaluation.
    """

    def __init__(self, side: int | Sequence[int], seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height, self.width = (side, side) if isinstance(side, int) else side
        if min(self.height, self.width) < 1:
            raise ValueError(f"`side` must be at least 1. Received: side={side}")
        self.seed = seed

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.map = self.add_weight(
            shape=(self.height, self.width, 1),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            trainable=False,
            name="map",
        )

    def call(self, inputs: Any) -> Any:
        return ops.broadcast_to(self.map[None], (ops.shape(inputs)[0], *self.map.shape))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.height, self.width, 1)

    def get_config(self) -> dict[str, Any]:
        # Write one number for a square, as configurations did before rectangles were supported.
        square = self.height == self.width
        side = self.height if square else (self.height, self.width)
        return {**super().get_config(), "side": side, "seed": self.seed}
