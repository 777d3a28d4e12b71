"""Shared parts of families with styles: mapping, synthesis and fixed noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from layers.noise import FixedNoise
from layers.truncation import Truncation
from pipeline.families.config import StyledConfig
from pipeline.families.network import Block, Network, chain, one_or_list
from pipeline.shape import Shape, shape_name


def noise_name(shape: Shape, index: int) -> str:
    """Name the noise map of a layer: its features' shape, and its index among layers of it."""
    return f"noise_{shape_name(shape)}_{index}"


class WithMapping(Network):
    """Network with a mapping from latents or labels to a vector."""

    config: StyledConfig

    def _mapping(self, units: int) -> Block:
        # Always float32: the mapping takes next to no time, and all images depend on it.
        settings: dict[str, Any] = {
            "lr_multiplier": self.config.mapping_rate,
            "bias_gain": self._bias_gain,
            "dtype": "float32",
        }

        def make() -> Iterator[keras.layers.Layer]:
            for index in range(self.config.mapping_layers):
                part = f"mapping_dense{index}"
                yield self._dense(part, units, **settings)
                yield self._leaky(part, dtype="float32")

        return self._made("mapping", lambda: tuple(make()))


class StyleGenerator(WithMapping, ABC):
    """Generator from latents to styles to images; each family implements both steps.

    Attributes:
        style_size: Length of a style.
        truncation: Layer that holds the running mean of styles, `truncation.mean`, and truncates.
    """

    _repeat_name = "repeat_styles"
    """Name of the layer that repeats one style for all layers."""

    def __init__(self, config: StyledConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.style_size = config.style_size
        self.truncation = self._layer(Truncation, "truncation", dtype="float32")

    @abstractmethod
    def layers(self, resolution: int) -> int:
        """Number of layers that take a style at `resolution` pixels."""

    @abstractmethod
    def _parts(self, shape: Shape) -> tuple[str, ...]:
        """Names of the layers at a shape; each of them adds noise."""

    @abstractmethod
    def _map(self, latents: Any, labels: Any = None) -> Any:
        """Map latents to styles w, `(batch, style_size)`, float32."""

    @abstractmethod
    def _synthesise(
        self, styles: Any, noise: Mapping[str, Any], resolution: int, *, fading: bool
    ) -> Any:
        """Make images from styles `(batch, layers, style_size)` and noise maps by name."""

    def noise_shapes(self, resolution: int) -> dict[str, Shape]:
        """Height and width of each noise map by name, in the order of `synthesis`."""
        if not self.config.noise:
            return {}
        return {
            noise_name(shape, index): shape
            for shape in self.shapes(resolution)
            for index in range(len(self._parts(shape)))
        }

    def mapping(self) -> keras.Model:
        """Build the model from latents to styles w, without truncation.

        Call: `(batch, latent_size)`, with labels `[latents, (batch, label_size) one-hot]`, →
        `(batch, style_size)`, float32.
        """
        inputs = self._inputs()
        return keras.Model(one_or_list(inputs), self._map(*inputs), name=self._name("mapping"))

    def synthesis(self, resolution: int, *, fading: bool) -> keras.Model:
        """Build the model from styles and noise to images of `resolution` pixels.

        Call: `[(batch, layers, style_size), noise maps…]`, a style for each layer and a map
        `(batch or 1, height, width, 1)` for each name of `noise_shapes`, → `(batch, resolution,
        width, channels)`, float32, about [-1, 1], not clipped. While fading, `self.fade.alpha` is
        the weight of the new block.

        Raises:
            ValueError: if `fading` is true in a family that does not grow.
        """
        # Noise is an input, never drawn in a layer: then it is a function of seed and step.
        styles = keras.Input((self.layers(resolution), self.style_size), name="styles")
        noise = {
            name: keras.Input((*shape, 1), name=name)
            for name, shape in self.noise_shapes(resolution).items()
        }
        images = self._synthesise(styles, noise, resolution, fading=fading)
        name = self._name(f"synthesis_{shape_name(self.shapes(resolution)[-1])}")
        return keras.Model(one_or_list([styles, *noise.values()]), images, name=name)

    def model(self, resolution: int, *, fading: bool) -> keras.Model:
        """Build the model from latents alone to images of `resolution` pixels.

        Every layer takes the same style and its own fixed noise; nothing is truncated. The model
        holds all variables of the generator, including the fixed noise and the mean of styles.

        Call: input as of `mapping` → output as of `synthesis`.

        Raises:
            ValueError: as `synthesis`.
        """
        inputs = self._inputs()
        layers = self.layers(resolution)
        repeat = self._layer(keras.layers.RepeatVector, self._repeat_name, layers, dtype="float32")
        # Called with psi = 1 it changes nothing, but its mean is saved with the model.
        styles = self.truncation(repeat(self._map(*inputs)))
        noise = {
            name: chain(self._fixed_noise(name, shape), inputs[0])
            for name, shape in self.noise_shapes(resolution).items()
        }
        images = self._synthesise(styles, noise, resolution, fading=fading)
        name = self._name(shape_name(self.shapes(resolution)[-1]))
        return keras.Model(one_or_list(inputs), images, name=name)

    def _fixed_noise(self, name: str, shape: Shape) -> Block:
        return self._made(name, lambda: (FixedNoise(shape, **self._weighted(name)),))
