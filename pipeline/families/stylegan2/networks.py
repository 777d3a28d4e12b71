"""StyleGAN2: generator of modulated convolutions with skips, discriminator of residual blocks.

Source: arXiv:1912.04958, configuration F, and arXiv:2006.06676 for labels, with the official
`training/networks.py` of StyleGAN2-ADA. The networks do not grow. Where the official code
multiplies the output of a leaky ReLU by a gain g, ours multiplies kernel, bias and noise by g
before the leaky ReLU: `g · lrelu(y) = lrelu(g · y)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from layers.learned_constant import LearnedConstant
from layers.modulated import ModulatedConv2D
from layers.noise import Noise
from layers.pixel_norm import PixelNorm
from layers.upfirdn import BILINEAR, FIRDown2D, FIRUp2D
from pipeline.families.network import Block, ScoringNetwork, chain, one_or_list
from pipeline.families.styled import StyleGenerator, WithMapping, noise_name
from pipeline.families.stylegan2.config import StyleGAN2Config
from pipeline.shape import Shape, shape_name

GAIN = math.sqrt(2)
"""Gain of weights before a leaky ReLU, which about keeps the standard deviation of features."""


def _refuse_fading(fading: bool) -> None:
    if fading:
        raise ValueError("`fading` must be false: `stylegan2` does not grow. Received: fading=True")


class _Network(WithMapping):
    """Base of both networks, with the embedding of labels."""

    config: StyleGAN2Config
    _bias_gain = GAIN

    def _embedding(self, units: int) -> Block:
        return self._get_or_make(
            "embedding",
            lambda: (
                self._dense("mapping_embed", units, gain=1.0, dtype="float32"),
                self._layer(PixelNorm, "normalise_labels", dtype="float32"),
            ),
        )


class Generator(_Network, StyleGenerator):
    """StyleGAN2's generator: latents to styles, and styles and noise to images.

    Example:
        >>> generator = Generator(StyleGAN2Config(fmap_max=8), channels=3)
        >>> generator.model(8, fading=False).output_shape
        (None, 8, 8, 3)
    """

    _repeat_name = "repeat"

    def layers(self, resolution: int) -> int:
        """Number of layers that take a style: each convolution, and the last to-RGB.

        Other to-RGB layers share the style of the convolution that follows them.
        """
        return 2 * len(self.shapes(resolution))

    def _parts(self, shape: Shape) -> tuple[str, ...]:
        # conv0 enlarges the features of the previous resolution; the first one has none before it.
        return ("conv1",) if shape == self.start else ("conv0", "conv1")

    def _map(self, latents: Any, labels: Any = None) -> Any:
        units = self.config.style_size
        # Normalise latents and labels separately; StyleGAN normalises them together.
        x = self._layer(PixelNorm, "normalise_latents", dtype="float32")(latents)
        if labels is not None:
            condition = self._layer(keras.layers.Concatenate, "condition", dtype="float32")
            x = condition([x, chain(self._embedding(units), labels)])
        return chain(self._mapping(units), x)

    def _synthesise(
        self, styles: Any, noise: Mapping[str, Any], resolution: int, *, fading: bool
    ) -> Any:
        _refuse_fading(fading)
        x = chain(self._constant(), styles)
        images, index = None, 0
        for stage, shape in enumerate(self.shapes(resolution), start=1):
            key = shape_name(shape)
            for number, part in enumerate(self._parts(shape)):
                maps = noise.get(noise_name(shape, number))
                up = part == "conv0"
                x = self._styled_conv(f"{key}_{part}", stage, x, styles[:, index], maps, up=up)
                index += 1
            images = self._with_rgb(key, x, styles[:, index], images)
        return images

    def _constant(self) -> Block:
        part = f"{shape_name(self.start)}_constant"
        shape = (*self.start, self._filters(1))
        unit = keras.initializers.RandomNormal(stddev=1.0, seed=self._weight_settings(part)["seed"])
        return self._get_or_make(part, lambda: (self._layer(LearnedConstant, part, shape, unit),))

    def _styled_conv(
        self, part: str, stage: int, x: Any, style: Any, noise: Any | None, *, up: bool
    ) -> Any:
        """Apply a modulated convolution with the stage's feature maps, noise and activation."""

        def make() -> Block:
            convolution = ModulatedConv2D(
                self._filters(stage),
                resample="up" if up else None,
                fused=self.config.fused,
                taps=BILINEAR,
                bias_gain=GAIN,
                **self._weight_settings(part),
            )
            noise = self._layer(Noise, f"{part}_noise", per_channel=False, gain=GAIN)
            return (self._affine(part, x.shape[-1]), convolution, noise, self._leaky(part))

        affine, convolution, add, activation = self._get_or_make(part, make)
        x = convolution([x, affine(style)])
        if noise is not None:
            x = add([x, noise])
        return activation(x)

    def _with_rgb(self, key: str, x: Any, style: Any, smaller: Any | None) -> Any:
        """Convert features to RGB, and add the enlarged images of the resolutions before."""

        def make() -> Block:
            # Always float32: a shorter type would lose the last bits of a pixel.
            weighted = {**self._weight_settings(f"{key}_to_rgb"), "dtype": "float32"}
            rgb = ModulatedConv2D(self.channels, 1, demodulate=False, gain=1.0, **weighted)
            return (self._affine(f"{key}_to_rgb", x.shape[-1]), rgb)

        affine, to_rgb = self._get_or_make(f"{key}_to_rgb", make)
        images = to_rgb([x, affine(style)])
        if smaller is None:
            return images
        enlarged = self._layer(FIRUp2D, f"{key}_up_rgb", dtype="float32")(smaller)
        add = self._layer(keras.layers.Add, f"{key}_add_rgb", dtype="float32")
        return add([enlarged, images])

    def _affine(self, part: str, units: int) -> keras.layers.Layer:
        # Always float32, like the demodulation, which sums squares of styles.
        return self._dense(f"{part}_affine", units, gain=1.0, dtype="float32")


class Discriminator(_Network, ScoringNetwork):
    """StyleGAN2's discriminator: images, and labels if there are classes, to scores.

    Example:
        >>> config = StyleGAN2Config(fmap_max=8)
        >>> Discriminator(config, channels=3).model(8, fading=False).output_shape
        (None, 1)
    """

    def model(self, resolution: int, *, fading: bool) -> keras.Model:
        """Build the model that scores images of `resolution` pixels.

        Call: `(batch, resolution, width, channels)`, with labels
        `[images, (batch, label_size)]`, → `{"scores": (batch, 1)}`, float32. With labels a score is
        `Σ f(image) · g(label) / √features`, a projection.

        Raises:
            ValueError: if `fading` is true.
        """
        _refuse_fading(fading)
        shapes = self.shapes(resolution)
        images = keras.Input((*shapes[-1], self.channels), name="images")
        inputs = [images]
        x = chain(self._from_rgb(shapes[-1]), images)
        for stage in range(len(shapes), 1, -1):
            x = self._residual(shapes[stage - 1], stage, x)
        # With labels, the last layer gives features to project; its gain includes `1 / √features`.
        units = self._filters(1)
        outputs = units if self.label_size else 1
        scores = chain(self._last_block(units, outputs, gain=1 / math.sqrt(outputs)), x)
        if self.label_size:
            labels = keras.Input((self.label_size,), name="labels")
            inputs.append(labels)
            x = chain(self._mapping(units), chain(self._embedding(units), labels))
            project = self._layer(keras.layers.Dot, "projection", axes=1, dtype="float32")
            scores = project([scores, x])
        name = self._name(shape_name(shapes[-1]))
        return keras.Model(one_or_list(inputs), {"scores": scores}, name=name)

    def _residual(self, shape: Shape, stage: int, x: Any) -> Any:
        """Apply a residual block: `(convolutions(x) + skip(x)) / √2`, at half the resolution."""
        key = shape_name(shape)
        narrow, wide = self._filters(stage), self._filters(stage - 1)
        reducing: dict[str, Any] = {
            "resample": "down",
            "taps": BILINEAR,
            "fused": self.config.fused,
            # The activation's gain √2 and the block's 1/√2 cancel.
            "gain": 1.0,
            "bias_gain": 1.0,
        }
        convolutions = self._get_or_make(
            key,
            lambda: (
                *self._conv_and_activation(f"{key}_conv0", narrow),
                *self._conv_and_activation(f"{key}_conv1", wide, **reducing),
            ),
        )
        skip = self._get_or_make(
            f"{key}_skip",
            lambda: (
                self._layer(FIRDown2D, f"{key}_skip_down"),
                # The gain is the block's 1/√2.
                self._conv(f"{key}_skip", wide, 1, gain=math.sqrt(0.5), use_bias=False),
            ),
        )
        add = self._layer(keras.layers.Add, f"{key}_add")
        return add([chain(skip, x), chain(convolutions, x)])
