"""Shared parts of families with styles: a mapping of latents, images of styles and noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import keras

from layers.fixed_noise import FixedNoise
from layers.truncation import Truncation
from pipeline.families.config import StyledConfig
from pipeline.families.network import Block, Network, chain, one_or_list
from pipeline.shape import Shape, shape_name


def noise_name(shape: Shape, index: int) -> str:
    """Name of the noise map of one of the layers whose features have a shape."""
    return f"noise_{shape_name(shape)}_{index}"


class WithMapping(Network):
    """A network with a mapping."""

    config: StyledConfig

    def _mapping(self, units: int, **gains: float) -> Block:
        # In float32 under every policy: it takes next to no time, and all images depend on it.
        settings = {"lr_multiplier": self.config.mapping_rate, "dtype": "float32", **gains}
        parts = [f"mapping_dense{index}" for index in range(self.config.mapping_layers)]
        return self._made(
            "mapping",
            lambda: [
                layer
                for part in parts
                for layer in (
                    self._dense(part, units, **settings),
                    self._leaky(f"{part}_act", dtype="float32"),
                )
            ],
        )


class StyleGenerator(WithMapping, ABC):
    """Latents to styles to images; a family says how styles are made, and what they do.

    Attributes:
        style_size: Length of a style.
        truncation: The layer with the running mean of styles, `truncation.mean`, which draws styles
            towards it.
    """

    _repeat_name = "repeat_styles"
    """Name of the layer that gives all layers the same style."""

    def __init__(self, config: StyledConfig, *, name: str = "generator", **kwargs: Any) -> None:
        super().__init__(config, name=name, **kwargs)
        self.style_size = config.style_size
        self.truncation = Truncation(name=self._name("truncation"), dtype="float32")

    @abstractmethod
    def layers(self, resolution: int) -> int:
        """Number of styles that an image of `resolution` pixels takes."""

    @abstractmethod
    def _parts(self, shape: Shape) -> tuple[str, ...]:
        """Names of the layers whose features have a shape, each of which adds noise."""

    @abstractmethod
    def _map(self, latents: Any, labels: Any = None) -> Any:
        """Styles w, `(batch, style_size)`, float32."""

    @abstractmethod
    def _synthesise(
        self, styles: Any, noise: Mapping[str, Any], resolution: int, *, fading: bool
    ) -> Any:
        """Images of a style for each layer, `(batch, layers, style_size)`, and of noise maps."""

    def noise_shapes(self, resolution: int) -> dict[str, Shape]:
        """Names of the noise maps in the order of `synthesis`, and their heights and widths."""
        if not self.config.noise:
            return {}
        return {
            noise_name(shape, index): shape
            for shape in self.shapes(resolution)
            for index in range(len(self._parts(shape)))
        }

    def mapping(self) -> keras.Model:
        """The model that makes a style w of each latent vector; nothing is truncated.

        Call: `(batch, latent_size)`, with labels `[latents, (batch, label_size) one-hot]`, →
        `(batch, style_size)`, float32.
        """
        inputs = self._inputs()
        return keras.Model(one_or_list(inputs), self._map(*inputs), name=self._name("mapping"))

    def synthesis(self, resolution: int, *, fading: bool) -> keras.Model:
        """The model that makes images of `resolution` pixels of styles and noise.

        Call: `[(batch, layers, style_size), noise maps…]`, a style for each layer and a map
        `(batch or 1, height, width, 1)` for each name of `noise_shapes`, → `(batch, resolution,
        width, channels)`, float32, about [-1, 1], not clipped. While fading, the new block weighs
        `self.fade.alpha`.

        Raises:
            ValueError: if `fading` is true, of a family that does not grow.
        """
        styles = keras.Input((self.layers(resolution), self.style_size), name="styles")
        noise = {
            name: keras.Input((*shape, 1), name=name)
            for name, shape in self.noise_shapes(resolution).items()
        }
        images = self._synthesise(styles, noise, resolution, fading=fading)
        name = self._name(f"synthesis_{shape_name(self.shapes(resolution)[-1])}")
        return keras.Model(one_or_list([styles, *noise.values()]), images, name=name)

    def model(self, resolution: int, *, fading: bool) -> keras.Model:
        """The model that makes images of `resolution` pixels of latents alone.

        Each layer takes the same style, and its own fixed noise; nothing is truncated. The model
        holds every variable of the generator, the fixed noise and the mean of styles too.

        Call: as `mapping` → as `synthesis`.

        Raises:
            ValueError: as `synthesis`.
        """
        inputs = self._inputs()
        repeat = keras.layers.RepeatVector(
            self.layers(resolution), name=self._name(self._repeat_name), dtype="float32"
        )
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
