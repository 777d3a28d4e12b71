"""Base classes of families with styles (StyleGAN, StyleGAN2): mapping, synthesis, fixed noise."""

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
    """Name a noise map by its height and width, and the index of its layer at that shape."""
    return f"noise_{shape_name(shape)}_{index}"


class WithMapping(Network):
    """Network with a mapping network: dense layers from latents or labels to a vector."""

    config: StyledConfig

    def _mapping(self, units: int) -> Block:
        # Always float32: the mapping takes little time, and every pixel depends on it.
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

        return self._get_or_make("mapping", lambda: tuple(make()))


class StyleGenerator(WithMapping, ABC):
    """Base of generators from latents to styles w to images; families implement both steps.

    Attributes:
        style_size: Length of a style.
        truncation: Layer that moves styles towards their running mean, `truncation.mean`.
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
        """Names of the layers that add noise at a shape, in the order in which they are applied."""

    @abstractmethod
    def _map(self, latents: Any, labels: Any = None) -> Any:
        """Map latents to styles w, `(batch, style_size)`, float32."""

    @abstractmethod
    def _synthesise(
        self, styles: Any, noise: Mapping[str, Any], resolution: int, *, fading: bool
    ) -> Any:
        """Apply the synthesis network: styles `(batch, layers, style_size)` and noise to images."""

    def noise_shapes(self, resolution: int) -> dict[str, Shape]:
        """Return the height and width of each noise map, in the order of `synthesis` inputs."""
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

        Call: `[(batch, layers, style_size), noise maps…]`, a style for each layer and a noise map
        `(batch or 1, height, width, 1)` for each name of `noise_shapes`, → `(batch, resolution,
        width, channels)`, float32, about [-1, 1], not clipped. While fading, `self.fade.alpha` is
        the weight of the new block.

        Raises:
            ValueError: if `fading` is true in a family that does not grow.
        """
        # Noise is an input and never drawn in a layer, so the caller draws it by seed and step.
        styles = keras.Input((self.layers(resolution), self.style_size), name="styles")
        noise = {
            name: keras.Input((*shape, 1), name=name)
            for name, shape in self.noise_shapes(resolution).items()
        }
        images = self._synthesise(styles, noise, resolution, fading=fading)
        name = self._name(f"synthesis_{shape_name(self.shapes(resolution)[-1])}")
        return keras.Model(one_or_list([styles, *noise.values()]), images, name=name)

    def model(self, resolution: int, *, fading: bool) -> keras.Model:
        """Build the model from latents to images of `resolution` pixels, with fixed noise.

        Every layer takes the same style; nothing is truncated. The model holds all variables of
        the generator, including the noise and the mean of styles, so a checkpoint has them.

        Call: inputs of `mapping` → images as from `synthesis`.

        Raises:
            ValueError: if `fading` is true in a family that does not grow.
        """
        inputs = self._inputs()
        layers = self.layers(resolution)
        repeat = self._layer(keras.layers.RepeatVector, self._repeat_name, layers, dtype="float32")
        # Truncation changes nothing at its default psi of 1; called here, its mean is saved too.
        styles = self.truncation(repeat(self._map(*inputs)))
        noise = {
            name: chain(self._fixed_noise(name, shape), inputs[0])
            for name, shape in self.noise_shapes(resolution).items()
        }
        images = self._synthesise(styles, noise, resolution, fading=fading)
        name = self._name(shape_name(self.shapes(resolution)[-1]))
        return keras.Model(one_or_list(inputs), images, name=name)

    def _fixed_noise(self, name: str, shape: Shape) -> Block:
        return self._get_or_make(name, lambda: (FixedNoise(shape, **self._weight_settings(name)),))
