"""Noise per pixel with a learned strength."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="growgan")
class Noise(keras.layers.Layer):
    """Add a given noise map to every feature map, each with its own learned strength.

    `y = x + gain * strength * noise`; the strength starts at 0. The noise map is an input and not
    drawn here, so that a run's randomness stays a function of seed and step.

    Args:
        per_channel: Whether each channel has its own strength (StyleGAN), or all share one
            (StyleGAN2).
        gain: Factor on the noise: sqrt(2) where it stands in for the gain of the leaky ReLU that
            follows, as in StyleGAN2.

    Call: `[(batch, height, width, channels), (batch or 1, height, width, 1)] → first shape`.

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
        features, noise = inputs
        return features + noise * (self.strength * self.gain)

    def compute_output_shape(
        self, input_shape: list[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "per_channel": self.per_channel, "gain": self.gain}
