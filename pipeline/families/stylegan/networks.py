"""StyleGAN: mapping from latents to styles, synthesis of images from styles, discriminator.

A synthesis layer is: convolution, blur, noise, bias, leaky ReLU, normalisation, style. Keys of the
configuration select rows B to F of the paper's table 1; docs/networks.md lists the keys by row.

Source: arXiv:1812.04948, figure 1, table 1 and appendices B and C, and the official `G_mapping`,
`G_synthesis` and `D_basic`. As in the official code, pixel norm replaces instance norm without
styles. Unlike in ProGAN, `fused` does not change the function of either network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from layers.adain import AdaIN
from layers.bias import Bias
from layers.learned_constant import LearnedConstant
from layers.noise import Noise
from layers.pixel_norm import PixelNorm
from layers.upfirdn import Blur
from pipeline.families.growing import FIRST_DENSE_GAIN, GrowingDiscriminator, GrowingGenerator
from pipeline.families.network import START_RESOLUTION, Block, Network, chain, one_or_list, stage_of
from pipeline.families.styled import StyleGenerator, noise_name
from pipeline.families.stylegan.config import StyleGANConfig
from pipeline.shape import Shape, shape_name

LAYERS = 2  # Number of synthesis layers at each resolution.


class _Blurring(Network):
    """Network that blurs when it resamples, if `config.blur` is true."""

    config: StyleGANConfig

    def _blur(self, part: str) -> Block:
        return (self._layer(Blur, f"{part}_blur"),) if self.config.blur else ()


class Generator(_Blurring, GrowingGenerator, StyleGenerator):
    """StyleGAN's generator: latents to styles, and styles and noise to images.

    Example:
        >>> generator = Generator(StyleGANConfig(fmap_max=8), channels=3)
        >>> [inputs.shape for inputs in generator.synthesis(4, fading=False).inputs]
        [(None, 2, 512), (None, 4, 4, 1), (None, 4, 4, 1)]
    """

    config: StyleGANConfig

    def __init__(self, config: StyleGANConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        if not config.mapping_layers:  # A style is then the latent joined with the embedded label.
            self.style_size = config.latent_size * (2 if self.label_size else 1)

    def layers(self, resolution: int) -> int:
        """Number of layers that take a style at `resolution` pixels; 1 without `config.styles`."""
        return LAYERS * stage_of(resolution) if self.config.styles else 1

    def _parts(self, shape: Shape) -> tuple[str, ...]:
        if shape[0] > START_RESOLUTION:
            return ("conv0", "conv1")
        return ("constant" if self.config.constant_input else "dense", "conv")

    def _map(self, latents: Any, labels: Any = None) -> Any:
        x = latents
        if labels is not None:
            embedded = chain(self._embedding(), labels)
            condition = self._layer(keras.layers.Concatenate, "condition", dtype="float32")
            x = condition([latents, embedded])
        # Normalise latents and labels together; StyleGAN2 normalises them separately.
        x = self._layer(PixelNorm, "normalise_latents", dtype="float32")(x)
        return chain(self._mapping(self.config.style_size), x)

    def _embedding(self) -> Block:
        key, units = "label_embedding", self.config.latent_size
        # Cancel the scale of our equalized layer: the official embedding has none.
        gain = math.sqrt(self.label_size)
        settings = {"gain": gain, "use_bias": False, "dtype": "float32"}
        return self._get_or_make(key, lambda: (self._dense(key, units, **settings),))

    def _synthesise(
        self, styles: Any, noise: Mapping[str, Any], resolution: int, *, fading: bool
    ) -> Any:
        # Feed a style to the first layer: a learned constant reads only its batch size.
        x = styles[:, 0]
        for block, shape in enumerate(self.shapes(resolution)):
            before = x
            for index in range(LAYERS):
                style = styles[:, LAYERS * block + index] if self.config.styles else None
                noise_map = noise.get(noise_name(shape, index))
                x = _apply(self._styled_layer(shape, index), x, noise_map, style)
        return self._images(resolution, x, before, fading=fading)

    def _styled_layer(self, shape: Shape, index: int) -> Block:
        """Return the Keras layers of one synthesis layer, from its convolution to its style."""
        part = f"{shape_name(shape)}_{self._parts(shape)[index]}"
        return self._get_or_make(
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
            return (self._layer(LearnedConstant, part, (*shape, maps)),)
        return (self._dense(part, (*shape, maps), gain=FIRST_DENSE_GAIN, use_bias=False),)

    def _epilogue(self, part: str) -> Block:
        """Make noise, bias, leaky ReLU, normalisation and style of a synthesis layer."""
        # The bias is a layer here and not in the convolution, because noise and blur come before.
        noise = (self._layer(Noise, f"{part}_noise"),) if self.config.noise else ()
        bias = self._layer(Bias, f"{part}_bias")
        if self.config.styles:
            norm = AdaIN(**self._weight_settings(f"{part}_style"))
        else:
            norm = self._layer(PixelNorm, f"{part}_norm")
        return (*noise, bias, self._leaky(part), norm)


class Discriminator(_Blurring, GrowingDiscriminator):
    """StyleGAN's discriminator: images to scores; with labels, to the score for the given class.

    Example:
        >>> config = StyleGANConfig(fmap_max=8)
        >>> Discriminator(config, channels=3, label_size=2).model(8, fading=True).output_shape
        (None, 1)
    """

    def model(self, resolution: int, *, fading: bool) -> keras.Model:
        """Build the model that scores images of `resolution` pixels.

        Call: `(batch, resolution, resolution, channels)`, with labels `[images, (batch, label_size)
        one-hot]`, → `{"scores": (batch, 1)}`, float32. While fading, `self.fade.alpha` is the
        weight of the new block.
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
        down = self._conv_and_activation(part, filters, resample="down", fused=self.config.fused)
        return (*self._blur(part), *down)


def _apply(block: Block, x: Any, noise: Any, style: Any) -> Any:
    """Apply layers in order; `Noise` also takes the noise map, and `AdaIN` the style."""
    for layer in block:
        match layer:
            case Noise():
                x = layer([x, noise])
            case AdaIN():
                x = layer([x, style])
            case _:
                x = layer(x)
    return x
