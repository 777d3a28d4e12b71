"""ProGAN: the generator and the discriminator that grow by one block per resolution.

Source: arXiv:1710.10196, table 2, and the official `G_paper` and `D_paper`. As there, `fused`
takes the discriminator's box average before the activation, and the unfused form after it; in the
generator both are the same function.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from layers.equalized import EqualizedConv2D, EqualizedDense
from layers.minibatch_std import MinibatchStd
from layers.pixel_norm import PixelNorm
from layers.resample import BoxDown2D, NearestUp2D
from layers.weighted_sum import WeightedSum
from pipeline.config import NetworkConfig

START_RESOLUTION = 4
LEAK = 0.2
# The official first dense layer has a gain four times smaller: its fan-in does not count the 4x4
# pixels that each latent feeds.
FIRST_DENSE_GAIN = math.sqrt(2) / 4

Block = Sequence[keras.layers.Layer]


def filters(config: NetworkConfig, stage: int) -> int:
    """Feature maps of a stage: stage s is resolution 2^(s+1)."""
    return min(config.fmap_base // 2**stage, config.fmap_max)


@dataclass(frozen=True)
class Size:
    """What a network takes at one resolution.

    Args:
        parameters: Trained weights.
        multiplications: For one image, in convolutions fused with resampling and in dense layers.
        values: In one image's feature maps, of which there is one for each convolution.
    """

    parameters: int
    multiplications: int
    values: int

    def __add__(self, other: Size) -> Size:
        return Size(
            self.parameters + other.parameters,
            self.multiplications + other.multiplications,
            self.values + other.values,
        )


def generator_size(
    config: NetworkConfig, resolution: int, *, channels: int, label_size: int, fading: bool
) -> Size:
    """The size of `Generator.model`."""
    maps = filters(config, 1)
    size = _dense_size(config.latent_size + label_size, START_RESOLUTION**2 * maps, biases=maps)
    size += _conv_size(maps, maps, START_RESOLUTION)
    for side in _sides(resolution):
        before, maps = maps, filters(config, _stage(side))
        # The resampling convolution has 16 taps at the lower resolution.
        size += _conv_size(before, maps, side, taps=16 / 4) + _conv_size(maps, maps, side)
    for side in (resolution, resolution // 2) if fading else (resolution,):
        size += _conv_size(filters(config, _stage(side)), channels, side, kernel=1)
    return size


def discriminator_size(
    config: NetworkConfig, resolution: int, *, channels: int, label_size: int, fading: bool
) -> Size:
    """The size of `Discriminator.model`."""
    maps = filters(config, 1)
    size = _conv_size(maps + 1, maps, START_RESOLUTION)
    size += _dense_size(START_RESOLUTION**2 * maps, filters(config, 0))
    size += _dense_size(filters(config, 0), 1 + label_size)
    for side in _sides(resolution):
        before, maps = maps, filters(config, _stage(side))
        size += _conv_size(maps, before, side // 2, taps=16) + _conv_size(maps, maps, side)
    for side in (resolution, resolution // 2) if fading else (resolution,):
        size += _conv_size(channels, filters(config, _stage(side)), side, kernel=1)
    return size


def _sides(resolution: int) -> list[int]:
    """Every resolution after the first."""
    return [2**n for n in range(START_RESOLUTION.bit_length(), resolution.bit_length())]


def _conv_size(
    inputs: int, outputs: int, side: int, *, kernel: int = 3, taps: float | None = None
) -> Size:
    """Of a convolution, which multiplies so many `taps` an output pixel, `kernel²` if not told."""
    area = kernel**2
    pairs = inputs * outputs
    return Size(
        parameters=area * pairs + outputs,
        multiplications=round(side**2 * pairs * (taps or area)),
        values=side**2 * outputs,
    )


def _dense_size(inputs: int, outputs: int, *, biases: int | None = None) -> Size:
    return Size(inputs * outputs + (biases or outputs), inputs * outputs, outputs)


class _Network:
    """Blocks by resolution, each made at its first use and shared by every later model."""

    def __init__(
        self,
        config: NetworkConfig,
        *,
        channels: int,
        label_size: int = 0,
        precision: str = "float32",
        seed: int = 0,
        name: str,
    ) -> None:
        self.config = config
        self.channels = channels
        self.label_size = label_size
        self.name = name
        self._policy = keras.DTypePolicy(precision)
        self._seed = seed
        self._blocks: dict[str, Block] = {}
        self.fade = WeightedSum(name=f"{name}_fade", dtype="float32")

    def _filters(self, stage: int) -> int:
        return filters(self.config, stage)

    def _name(self, part: str) -> str:
        return f"{self.name}_{part}"

    def _weighted(self, part: str) -> dict[str, Any]:
        # The seed follows from the part's name, not from the order of creation: a block made after
        # a restart starts the same, and so does the same part of a generator and of its average.
        seed = zlib.crc32(f"{self._seed}/{type(self).__name__}/{part}".encode()) & 0x7FFFFFFF
        return {"name": self._name(part), "seed": seed, "dtype": self._policy}

    def _conv(self, part: str, filters: int, kernel_size: int = 3, **kwargs: Any) -> Any:
        return EqualizedConv2D(filters, kernel_size, **{**self._weighted(part), **kwargs})

    def _dense(self, part: str, units: int | tuple[int, ...], **kwargs: Any) -> Any:
        return EqualizedDense(units, **{**self._weighted(part), **kwargs})

    def _leaky(self, part: str) -> Any:
        return keras.layers.LeakyReLU(LEAK, name=self._name(part), dtype=self._policy)


class Generator(_Network):
    """Latents to images.

    Args:
        config: Sizes.
        channels: Of the images.
        label_size: Number of classes, 0 without labels.
        precision: Name of a Keras dtype policy; images come out in float32 under each.
        seed: From which the first weights follow, each layer's by its part's name.
        name: Prefix of every layer's name.

    Example:
        >>> generator = Generator(NetworkConfig(fmap_max=8, latent_size=8), channels=3)
        >>> generator.model(8, fading=True).output_shape
        (None, 8, 8, 3)
    """

    def __init__(self, config: NetworkConfig, *, name: str = "generator", **kwargs: Any) -> None:
        super().__init__(config, name=name, **kwargs)

    def model(self, resolution: int, *, fading: bool) -> keras.Model:
        """The model that makes images of `resolution` pixels.

        Call: `(batch, latent_size)`, with labels `[latents, (batch, label_size)]`, →
        `(batch, resolution, resolution, channels)`, float32, about [-1, 1], not clipped. While
        fading, the new block weighs `self.fade.alpha`.
        """
        latents = keras.Input((self.config.latent_size,), name="latents")
        inputs = [latents]
        x = latents
        if self.label_size:
            labels = keras.Input((self.label_size,), name="labels")
            inputs.append(labels)
            x = keras.layers.Concatenate(name=self._name("condition"))([latents, labels])
        x = PixelNorm(name=self._name("normalise_latents"))(x)
        x = _chain(self._first_block(), x)
        size, before = START_RESOLUTION, x
        while size < resolution:
            size, before = size * 2, x
            x = _chain(self._block(size), x)
        images = self._to_rgb(size)(x)
        if fading:
            old = NearestUp2D(name=self._name("up_old"))(self._to_rgb(size // 2)(before))
            images = self.fade([old, images])
        return keras.Model(_one_or_list(inputs), images, name=f"{self.name}_{size}x{size}")

    def _normalised(self, part: str, layer: keras.layers.Layer) -> Block:
        norm = PixelNorm(name=self._name(f"{part}_norm"), dtype=self._policy)
        return (layer, self._leaky(f"{part}_act"), norm)

    def _first_block(self) -> Block:
        if "4x4" not in self._blocks:
            filters = self._filters(1)
            shape = (START_RESOLUTION, START_RESOLUTION, filters)
            dense = self._dense("4x4_dense", shape, gain=FIRST_DENSE_GAIN)
            self._blocks["4x4"] = (
                *self._normalised("4x4_dense", dense),
                *self._normalised("4x4_conv", self._conv("4x4_conv", filters)),
            )
        return self._blocks["4x4"]

    def _block(self, size: int) -> Block:
        key = f"{size}x{size}"
        if key not in self._blocks:
            filters = self._filters(_stage(size))
            up = self._conv(f"{key}_conv0", filters, resample="up", fused=self.config.fused)
            self._blocks[key] = (
                *self._normalised(f"{key}_conv0", up),
                *self._normalised(f"{key}_conv1", self._conv(f"{key}_conv1", filters)),
            )
        return self._blocks[key]

    def _to_rgb(self, size: int) -> keras.layers.Layer:
        key = f"{size}x{size}_to_rgb"
        if key not in self._blocks:
            # In float32, as the last bits of a pixel are lost in anything shorter.
            rgb = self._conv(key, self.channels, kernel_size=1, gain=1.0, dtype="float32")
            self._blocks[key] = (rgb,)
        return self._blocks[key][0]


class Discriminator(_Network):
    """Images to scores.

    Args:
        config: Sizes.
        channels: Of the images.
        label_size: Number of classes, 0 without labels.
        precision: Name of a Keras dtype policy; scores come out in float32 under each.
        seed: From which the first weights follow, each layer's by its part's name.
        name: Prefix of every layer's name.

    Example:
        >>> discriminator = Discriminator(NetworkConfig(fmap_max=8), channels=3)
        >>> discriminator.model(8, fading=True).output_shape
        (None, 1)
    """

    def __init__(
        self, config: NetworkConfig, *, name: str = "discriminator", **kwargs: Any
    ) -> None:
        super().__init__(config, name=name, **kwargs)

    def model(self, resolution: int, *, fading: bool) -> keras.Model:
        """The model that scores images of `resolution` pixels.

        Call: `(batch, resolution, resolution, channels)` → scores `(batch, 1)`, with labels
        `[scores, (batch, label_size) logits]`, float32. While fading, the new block weighs
        `self.fade.alpha`.
        """
        images = keras.Input((resolution, resolution, self.channels), name="images")
        x = _chain(self._from_rgb(resolution), images)
        size = resolution
        while size > START_RESOLUTION:
            x = _chain(self._block(size), x)
            size //= 2
            if fading and size == resolution // 2:
                small = BoxDown2D(name=self._name("down_old"))(images)
                x = self.fade([_chain(self._from_rgb(size), small), x])
        outputs = _chain(self._last_block(), x)
        if self.label_size:
            outputs = [outputs[:, :1], outputs[:, 1:]]
        return keras.Model(images, outputs, name=f"{self.name}_{resolution}x{resolution}")

    def _from_rgb(self, size: int) -> Block:
        key = f"{size}x{size}_from_rgb"
        if key not in self._blocks:
            conv = self._conv(key, self._filters(_stage(size)), kernel_size=1)
            self._blocks[key] = (conv, self._leaky(f"{key}_act"))
        return self._blocks[key]

    def _block(self, size: int) -> Block:
        key = f"{size}x{size}"
        if key not in self._blocks:
            narrow, wide = self._filters(_stage(size)), self._filters(_stage(size) - 1)
            conv0 = (self._conv(f"{key}_conv0", narrow), self._leaky(f"{key}_conv0_act"))
            act1 = self._leaky(f"{key}_conv1_act")
            conv1: Block
            if self.config.fused:
                conv1 = (self._conv(f"{key}_conv1", wide, resample="down"), act1)
            else:
                down = BoxDown2D(name=self._name(f"{key}_down"), dtype=self._policy)
                conv1 = (self._conv(f"{key}_conv1", wide), act1, down)
            self._blocks[key] = (*conv0, *conv1)
        return self._blocks[key]

    def _last_block(self) -> Block:
        if "4x4" not in self._blocks:
            self._blocks["4x4"] = (
                MinibatchStd(
                    self.config.stddev_group, name=self._name("4x4_std"), dtype=self._policy
                ),
                self._conv("4x4_conv", self._filters(1)),
                self._leaky("4x4_conv_act"),
                keras.layers.Flatten(name=self._name("4x4_flatten"), dtype=self._policy),
                self._dense("4x4_dense0", self._filters(0)),
                self._leaky("4x4_dense0_act"),
                # In float32: a critic's scores differ by less than half precision resolves.
                self._dense("4x4_dense1", 1 + self.label_size, gain=1.0, dtype="float32"),
            )
        return self._blocks["4x4"]


def _stage(resolution: int) -> int:
    return resolution.bit_length() - 2


def _chain(block: Block, x: Any) -> Any:
    for layer in block:
        x = layer(x)
    return x


def _one_or_list(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items
