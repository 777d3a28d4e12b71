"""StyleGAN: a mapping of latents to styles, a synthesis that they modulate, and a discriminator.

Of each layer of the synthesis: convolution, blur, noise, bias, leaky ReLU, normalisation, style.
Keys of the configuration take every configuration of the paper's table 1 from B on;
docs/networks.md has the table.

Source: arXiv:1812.04948, figure 1, table 1 and appendices B and C, and the official `G_mapping`,
`G_synthesis` and `D_basic`. As there, pixel norm takes the place of instance norm without styles.
Unlike ProGAN's, both networks are the same functions whether `fused` or not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from layers.adain import AdaIN
from layers.bias import Bias
from layers.blur import Blur
from layers.learned_constant import LearnedConstant
from layers.noise import Noise
from layers.pixel_norm import PixelNorm
from pipeline.families.growing import (
    FIRST_DENSE_GAIN,
    GrowingDiscriminator,
    GrowingGenerator,
)
from pipeline.families.network import (
    START_RESOLUTION,
    Block,
    Network,
    chain,
    one_or_list,
    stage_of,
)
from pipeline.families.styled import StyleGenerator, noise_name
from pipeline.families.stylegan.config import StyleGANConfig
from pipeline.shape import Shape, shape_name

LAYERS = 2
"""Number of layers that the synthesis has at each resolution."""


class _Blurring(Network):
    """A network that filters what it resamples, if the configuration asks for that."""

    config: StyleGANConfig

    def _blur(self, part: str) -> Block:
        if not self.config.blur:
            return ()
        return (Blur(name=self._name(f"{part}_blur"), dtype=self._policy),)


class Generator(_Blurring, GrowingGenerator, StyleGenerator):
    """Latents to styles to images.

    Args:
        config: Sizes, and which parts there are.
        channels: Channels of the images.
        label_size: Number of classes, 0 without labels.
        precision: Name of a Keras dtype policy; styles and images are in float32 under each.
        seed: Seed from which the first weights and the fixed noise follow, each by its part's name.
        name: Prefix of every layer's name.

    Attributes:
        style_size: Length of a style.
        truncation: The layer with the running mean of styles, `truncation.mean`, which draws styles
            towards it.

    Example:
        >>> generator = Generator(StyleGANConfig(fmap_max=8), channels=3)
        >>> [inputs.shape for inputs in generator.synthesis(4, fading=False).inputs]
        [(None, 2, 512), (None, 4, 4, 1), (None, 4, 4, 1)]
    """

    config: StyleGANConfig

    def __init__(self, config: StyleGANConfig, *, name: str = "generator", **kwargs: Any) -> None:
        super().__init__(config, name=name, **kwargs)
        if not config.mapping_layers:  # Styles are the latents, with labels their embedding too.
            self.style_size = config.latent_size * (2 if self.label_size else 1)

    def layers(self, resolution: int) -> int:
        """Number of styles that an image of `resolution` pixels takes; 1 without styles."""
        return LAYERS * stage_of(resolution) if self.config.styles else 1

    def _parts(self, shape: Shape) -> tuple[str, ...]:
        if shape[0] > START_RESOLUTION:
            return ("conv0", "conv1")
        return ("constant" if self.config.constant_input else "dense", "conv")

    def _map(self, latents: Any, labels: Any = None) -> Any:
        x = latents
        if labels is not None:
            embedded = chain(self._embedding(), labels)
            condition = keras.layers.Concatenate(name=self._name("condition"), dtype="float32")
            x = condition([latents, embedded])
        x = PixelNorm(name=self._name("normalise_latents"), dtype="float32")(x)
        return chain(self._mapping(self.config.style_size), x)

    def _embedding(self) -> Block:
        key, units = "label_embedding", self.config.latent_size
        # The gain undoes the scale: the official embedding is no equalized layer.
        gain = math.sqrt(self.label_size)
        settings = {"gain": gain, "use_bias": False, "dtype": "float32"}
        return self._made(key, lambda: (self._dense(key, units, **settings),))

    def _synthesise(
        self, styles: Any, noise: Mapping[str, Any], resolution: int, *, fading: bool
    ) -> Any:
        # The first layer takes a style for its features too: a constant reads only how many.
        x = styles[:, 0]
        for block, shape in enumerate(self.shapes(resolution)):
            before = x
            for index in range(LAYERS):
                style = styles[:, LAYERS * block + index] if self.config.styles else None
                x = _apply(self._layer(shape, index), x, noise.get(noise_name(shape, index)), style)
        return self._images(resolution, x, before, fading=fading)

    def _layer(self, shape: Shape, index: int) -> Block:
        """A layer of the synthesis, from what makes its features to its style."""
        part = f"{shape_name(shape)}_{self._parts(shape)[index]}"
        return self._made(
            part, lambda: (*self._features(part, shape, index), *self._epilogue(part))
        )

    def _features(self, part: str, shape: Shape, index: int) -> Block:
        maps = self._filters(stage_of(shape[0]))
        if index:
            return (self._conv(part, maps, use_bias=False),)
        if shape[0] > START_RESOLUTION:
            up = self._conv(part, maps, resample="up", fused=self.config.fused, use_bias=False)
            return (up, *self._blur(part))
        if self.config.constant_input:
            name = self._name(part)
            return (LearnedConstant((*shape, maps), name=name, dtype=self._policy),)
        return (self._dense(part, (*shape, maps), gain=FIRST_DENSE_GAIN, use_bias=False),)

    def _epilogue(self, part: str) -> Block:
        """Noise, bias, leaky ReLU, normalisation and style."""
        noise: Block = ()
        if self.config.noise:
            noise = (Noise(name=self._name(f"{part}_noise"), dtype=self._policy),)
        bias = Bias(name=self._name(f"{part}_bias"), dtype=self._policy)
        norm: keras.layers.Layer = PixelNorm(name=self._name(f"{part}_norm"), dtype=self._policy)
        if self.config.styles:
            norm = AdaIN(**self._weighted(f"{part}_style"))
        return (*noise, bias, self._leaky(f"{part}_act"), norm)


class Discriminator(_Blurring, GrowingDiscriminator):
    """Images to scores; with labels there is a score for each class, and the label chooses.

    Args:
        config: Sizes, and whether there is a blur.
        channels: Channels of the images.
        label_size: Number of classes, 0 without labels.
        precision: Name of a Keras dtype policy; scores come out in float32 under each.
        seed: Seed from which the first weights follow, each layer's by its part's name.
        name: Prefix of every layer's name.

    Example:
        >>> config = StyleGANConfig(fmap_max=8)
        >>> Discriminator(config, channels=3, label_size=2).model(8, fading=True).output_shape
        (None, 1)
    """

    def model(self, resolution: int, *, fading: bool) -> keras.Model:
        """The model that scores images of `resolution` pixels.

        Call: `(batch, resolution, resolution, channels)`, with labels `[images, (batch, label_size)
        one-hot]`, → `{"scores": (batch, 1)}`, float32. While fading, the new block weighs
        `self.fade.alpha`.
        """
        inputs = [keras.Input((resolution, resolution, self.channels), name="images")]
        scores = self._outputs(inputs[0], count=max(self.label_size, 1), fading=fading)
        if self.label_size:
            inputs.append(keras.Input((self.label_size,), name="labels"))
            scores = ops.sum(scores * inputs[1], axis=1, keepdims=True)
        name = self._name(f"{resolution}x{resolution}")
        return keras.Model(one_or_list(inputs), {"scores": scores}, name=name)

    def _down(self, key: str, filters: int) -> Block:
        part = f"{key}_conv1"
        down = self._conv(part, filters, resample="down", fused=self.config.fused)
        return (*self._blur(part), down, self._leaky(f"{part}_act"))


def _apply(block: Block, x: Any, noise: Any, style: Any) -> Any:
    """The output of a layer's chain, whose noise and style are inputs of their own."""
    for layer in block:
        match layer:
            case Noise():
                x = layer([x, noise])
            case AdaIN():
                x = layer([x, style])
            case _:
                x = layer(x)
    return x
