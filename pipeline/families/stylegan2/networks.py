"""StyleGAN2: a generator of modulated convolutions with skips, a discriminator with residuals.

Source: arXiv:1912.04958, configuration F, and arXiv:2006.06676 for labels, with the official
`training/networks.py` of StyleGAN2-ADA. The networks do not grow. Where the official code
multiplies the output of a leaky ReLU by a gain, ours multiplies the kernel, bias and noise before
it: `g · lrelu(y) = lrelu(g · y)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from layers.learned_constant import LearnedConstant
from layers.minibatch_std import MinibatchStd
from layers.modulated import ModulatedConv2D
from layers.noise import Noise
from layers.pixel_norm import PixelNorm
from layers.upfirdn import BILINEAR, FIRDown2D, FIRUp2D
from pipeline.families.network import (
    Block,
    chain,
    one_or_list,
)
from pipeline.families.styled import StyleGenerator, WithMapping, noise_name
from pipeline.families.stylegan2.config import StyleGAN2Config
from pipeline.shape import Shape, shape_name

GAIN = math.sqrt(2)
"""Gain with which a leaky ReLU keeps the standard deviation of its input."""


def _refuse_fading(fading: bool) -> None:
    if fading:
        raise ValueError("`fading` must be false: `stylegan2` does not grow. Received: fading=True")


class _Network(WithMapping):
    """Shared parts of both networks: filters, a mapping, and an embedding of labels."""

    def _filter(self, part: str, kind: type[FIRUp2D] | type[FIRDown2D], **kwargs: Any) -> Any:
        return kind(name=self._name(part), **{"dtype": self._policy, **kwargs})

    def _mapped(self, units: int, x: Any) -> Any:
        return chain(self._mapping(units, gain=GAIN, bias_gain=GAIN), x)

    def _embedding(self, units: int) -> Block:
        return self._made(
            "embedding",
            lambda: (
                self._dense("mapping_embed", units, gain=1.0, dtype="float32"),
                self._normalise("normalise_labels"),
            ),
        )

    def _normalise(self, part: str) -> keras.layers.Layer:
        return PixelNorm(name=self._name(part), dtype="float32")


class Generator(_Network, StyleGenerator):
    """StyleGAN2's generator: latents to styles, styles and noise to images.

    Args:
        config: Sizes of the networks.
        channels: Channels of the images.
        label_size: Number of classes, 0 without labels.
        precision: Name of a Keras dtype policy; styles and images are float32 under all of them.
        start: Height and width of the first feature maps, which each block doubles.
        seed: Seed of the initial weights and the fixed noise, together with the name of each part.
        name: Prefix of every layer's name.

    Attributes:
        truncation: Layer that holds the running mean of styles, `truncation.mean`, and truncates.

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
        # conv0 enlarges; nothing is enlarged to the first resolution.
        return ("conv1",) if shape == self.start else ("conv0", "conv1")

    def _map(self, latents: Any, labels: Any = None) -> Any:
        units = self.config.style_size
        # Latents and labels are normalised apart; StyleGAN normalises both together.
        x = self._normalise("normalise_latents")(latents)
        if labels is not None:
            condition = keras.layers.Concatenate(name=self._name("condition"), dtype="float32")
            x = condition([x, chain(self._embedding(units), labels)])
        return self._mapped(units, x)

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
                x = self._styled(f"{key}_{part}", stage, x, styles[:, index], maps, up=up)
                index += 1
            images = self._with_rgb(key, x, styles[:, index], images)
        return images

    def _constant(self) -> Block:
        part = f"{shape_name(self.start)}_constant"

        def make() -> Block:
            weighted = self._weighted(part)
            unit = keras.initializers.RandomNormal(stddev=1.0, seed=weighted.pop("seed"))
            return (LearnedConstant((*self.start, self._filters(1)), unit, **weighted),)

        return self._made(part, make)

    def _styled(
        self, part: str, stage: int, x: Any, style: Any, noise: Any | None, *, up: bool
    ) -> Any:
        """Apply a modulated convolution to a stage's number of maps, then noise and activation."""

        def make() -> Block:
            convolution = ModulatedConv2D(
                self._filters(stage),
                resample="up" if up else None,
                fused=self.config.fused,
                taps=BILINEAR,
                bias_gain=GAIN,
                **self._weighted(part),
            )
            name = self._name(f"{part}_noise")
            return (
                self._affine(part, x.shape[-1]),
                convolution,
                Noise(per_channel=False, gain=GAIN, name=name, dtype=self._policy),
                self._leaky(f"{part}_act"),
            )

        affine, convolution, add, activation = self._made(part, make)
        x = convolution([x, affine(style)])
        if noise is not None:
            x = add([x, noise])
        return activation(x)

    def _with_rgb(self, key: str, x: Any, style: Any, smaller: Any | None) -> Any:
        """Add the to-RGB output of a resolution to the enlarged image so far."""

        def make() -> Block:
            # Always float32: a shorter type would lose the last bits of a pixel.
            weighted = {**self._weighted(f"{key}_to_rgb"), "dtype": "float32"}
            rgb = ModulatedConv2D(self.channels, 1, demodulate=False, gain=1.0, **weighted)
            return (self._affine(f"{key}_to_rgb", x.shape[-1]), rgb)

        affine, to_rgb = self._made(f"{key}_to_rgb", make)
        images = to_rgb([x, affine(style)])
        if smaller is None:
            return images
        enlarged = self._filter(f"{key}_up_rgb", FIRUp2D, dtype="float32")(smaller)
        add = keras.layers.Add(name=self._name(f"{key}_add_rgb"), dtype="float32")
        return add([enlarged, images])

    def _affine(self, part: str, units: int) -> keras.layers.Layer:
        # Always float32, like the demodulation that sums its squares.
        return self._dense(f"{part}_affine", units, gain=1.0, dtype="float32")


class Discriminator(_Network):
    """StyleGAN2's discriminator: images, with labels also their labels, to scores.

    Args:
        config: Sizes of the networks.
        channels: Channels of the images.
        label_size: Number of classes, 0 without labels.
        precision: Name of a Keras dtype policy; scores are float32 under all of them.
        start: Height and width of the last feature maps; each block halves.
        seed: Seed of the initial weights, together with the name of each part.
        name: Prefix of every layer's name.

    Example:
        >>> config = StyleGAN2Config(fmap_max=8)
        >>> Discriminator(config, channels=3).model(8, fading=False).output_shape
        (None, 1)
    """

    def __init__(
        self, config: StyleGAN2Config, *, name: str = "discriminator", **kwargs: Any
    ) -> None:
        super().__init__(config, name=name, **kwargs)

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
        x = chain(self._from_rgb(shapes[-1], len(shapes)), images)
        for stage in range(len(shapes), 1, -1):
            x = self._residual(shapes[stage - 1], stage, x)
        scores = chain(self._last_block(), x)
        if self.label_size:
            labels = keras.Input((self.label_size,), name="labels")
            inputs.append(labels)
            units = self._filters(1)
            x = self._mapped(units, chain(self._embedding(units), labels))
            project = keras.layers.Dot(axes=1, name=self._name("projection"), dtype="float32")
            scores = project([scores, x])
        name = self._name(shape_name(shapes[-1]))
        return keras.Model(one_or_list(inputs), {"scores": scores}, name=name)

    def _from_rgb(self, shape: Shape, stage: int) -> Block:
        part = f"{shape_name(shape)}_from_rgb"
        return self._made(part, lambda: self._activated(part, self._filters(stage), 1))

    def _activated(self, part: str, filters: int, kernel_size: int = 3, **kwargs: Any) -> Block:
        gains = {"gain": GAIN, "bias_gain": GAIN, **kwargs}
        return (self._conv(part, filters, kernel_size, **gains), self._leaky(f"{part}_act"))

    def _residual(self, shape: Shape, stage: int, x: Any) -> Any:
        """Apply a residual block: `(convolutions(x) + skip(x)) / √2`, at half the resolution."""
        key = shape_name(shape)
        narrow, wide = self._filters(stage), self._filters(stage - 1)
        reducing: dict[str, Any] = {
            "resample": "down",
            "taps": BILINEAR,
            "fused": self.config.fused,
            # The activation's gain √2 times the block's 1/√2.
            "gain": 1.0,
            "bias_gain": 1.0,
        }
        convolutions = self._made(
            key,
            lambda: (
                *self._activated(f"{key}_conv0", narrow),
                *self._activated(f"{key}_conv1", wide, **reducing),
            ),
        )
        skip = self._made(
            f"{key}_skip",
            lambda: (
                self._filter(f"{key}_skip_down", FIRDown2D),
                self._conv(f"{key}_skip", wide, 1, gain=math.sqrt(0.5), use_bias=False),
            ),
        )
        add = keras.layers.Add(name=self._name(f"{key}_add"), dtype=self._policy)
        return add([chain(skip, x), chain(convolutions, x)])

    def _last_block(self) -> Block:
        units = self._filters(1)
        # The root of the projection is in the gains.
        outputs = units if self.label_size else 1
        gain = 1 / math.sqrt(outputs)
        key = shape_name(self.start)
        return self._made(
            key,
            lambda: (
                MinibatchStd(
                    self.config.stddev_group, name=self._name(f"{key}_std"), dtype=self._policy
                ),
                *self._activated(f"{key}_conv", units),
                keras.layers.Flatten(name=self._name(f"{key}_flatten"), dtype=self._policy),
                self._dense(f"{key}_dense0", units, gain=GAIN, bias_gain=GAIN),
                self._leaky(f"{key}_dense0_act"),
                # Always float32: scores differ by less than half precision resolves.
                self._dense(f"{key}_dense1", outputs, gain=gain, bias_gain=gain, dtype="float32"),
            ),
        )
