"""Base classes of networks that grow (ProGAN, StyleGAN): to-RGB, from-RGB, fade, discriminator."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import keras

from layers.resample import BoxDown2D, NearestUp2D
from pipeline.families.network import (
    START_RESOLUTION,
    Block,
    Network,
    ScoringNetwork,
    chain,
    stage_of,
)

FIRST_DENSE_GAIN = math.sqrt(2) / 4
"""Gain of the dense layer from latents to the first pixels: a quarter of the usual gain, because
its fan-in does not count the 4x4 pixels that each latent feeds."""


class GrowingGenerator(Network):
    """Base of generators whose newest resolution fades in over the previous one."""

    def _images(self, resolution: int, features: Any, before: Any, *, fading: bool) -> Any:
        """Turn features into images; while fading, blend with images from the features before."""
        images = self._to_rgb(resolution)(features)
        if not fading:
            return images
        # Images are float32 in every precision.
        up = self._layer(NearestUp2D, "up_old", dtype="float32")
        return self.fade([up(self._to_rgb(resolution // 2)(before)), images])

    def _to_rgb(self, size: int) -> keras.layers.Layer:
        key = f"{size}x{size}_to_rgb"
        # Always float32: a shorter type would lose the last bits of a pixel.
        [to_rgb] = self._get_or_make(
            key, lambda: (self._conv(key, self.channels, 1, gain=1.0, dtype="float32"),)
        )
        return to_rgb


class GrowingDiscriminator(ScoringNetwork, ABC):
    """Base of discriminators whose newest resolution fades in; families implement `_down`."""

    def _outputs(self, images: Any, *, count: int, fading: bool) -> Any:
        """Apply the discriminator to images of any resolution → `(batch, count)`, float32."""
        resolution = size = images.shape[1]
        x = chain(self._from_rgb((size, size)), images)
        while size > START_RESOLUTION:
            x = chain(self._block(size), x)
            size //= 2
            if fading and size == resolution // 2:
                small = self._layer(BoxDown2D, "down_old", dtype="float32")(images)
                x = self.fade([chain(self._from_rgb((size, size)), small), x])
        return chain(self._last_block(self._filters(0), count), x)

    def _block(self, size: int) -> Block:
        key = f"{size}x{size}"
        narrow, wide = self._filters(stage_of(size)), self._filters(stage_of(size) - 1)
        return self._get_or_make(
            key,
            lambda: (*self._conv_and_activation(f"{key}_conv0", narrow), *self._down(key, wide)),
        )

    @abstractmethod
    def _down(self, key: str, filters: int) -> Block:
        """Make the last convolution of a block, its activation and the step to half the sides."""
