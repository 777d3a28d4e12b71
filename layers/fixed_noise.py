"""Noise map that is drawn once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="growgan")
class FixedNoise(keras.layers.Layer):
    """One map of standard normal noise, the same for every sample and every call.

    The map is a saved weight that is not trained, so the images of a model that holds it are a
    function of their latents alone.

    Args:
        side: Side of the square map in pixels, or its height and width.
        seed: Seed of the map; None draws one.

    Call: `(batch, anything…) → (batch, height, width, 1)`; only the batch size is read.

    Raises:
        ValueError: if `side` is not positive.

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
        # A number for squares, as configurations had before there were rectangles.
        square = self.height == self.width
        side = self.height if square else (self.height, self.width)
        return {**super().get_config(), "side": side, "seed": self.seed}
