"""Base classes of all networks: one block of layers per resolution, names, initial weights."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from layers.equalized import EqualizedConv2D, EqualizedDense
from layers.minibatch_std import MinibatchStd
from layers.weighted_sum import WeightedSum
from pipeline.families.config import NetworkConfig
from pipeline.shape import Shape, level_shapes, shape_name

START_RESOLUTION = 4
"""Resolution of the first block in families that grow, even if training starts higher."""
LEAK = 0.2  # Slope of leaky ReLU below 0, as in the official code of every family.

Block = Sequence[keras.layers.Layer]
"""Layers of a network that are made together: those of one resolution, or a part of them."""


def filters(config: NetworkConfig, stage: int) -> int:
    """Number of feature maps of a stage: a resolution, numbered from 1 at the smallest."""
    return min(config.fmap_base // 2**stage, config.fmap_max)


def stage_of(resolution: int) -> int:
    """Return the stage of a resolution in networks that start at 4 px: 8 px is stage 2."""
    return resolution.bit_length() - 2


def chain(block: Block, x: Any) -> Any:
    """Apply layers one after the other."""
    for layer in block:
        x = layer(x)
    return x


def one_or_list(items: list[Any]) -> Any:
    """Return inputs in the form Keras expects: one tensor alone, several as a list."""
    return items[0] if len(items) == 1 else items


class Network:
    """Base of generators and discriminators: makes each block once, and shares it between models.

    Args:
        config: Sizes and optional parts of the networks.
        channels: Channels of the images.
        label_size: Number of classes, 0 without labels.
        precision: Name of a Keras dtype policy; images, styles and scores are always float32.
        seed: Seed of the initial weights and the fixed noise.
        start: Height and width of the smallest feature maps.
        name: Prefix of every layer's name; None for `generator` or `discriminator`.
    """

    _bias_gain = 1.0
    """Gain of biases in layers before a leaky ReLU."""

    def __init__(
        self,
        config: NetworkConfig,
        *,
        channels: int,
        label_size: int = 0,
        precision: str = "float32",
        seed: int = 0,
        start: Shape = (START_RESOLUTION, START_RESOLUTION),
        name: str | None = None,
    ) -> None:
        self.start = start
        self.config = config
        self.channels = channels
        self.label_size = label_size
        self.name = name or type(self).__name__.lower()
        self._policy = keras.DTypePolicy(precision)
        self._seed = seed
        self._blocks: dict[str, Block] = {}
        # Alpha is a float32 weight that every training step assigns, so a phase is traced once.
        self.fade = self._layer(WeightedSum, "fade", dtype="float32")

    def shapes(self, resolution: int) -> list[Shape]:
        """List the shapes of the blocks' features, from the first block to a height of images."""
        return level_shapes(self.start, resolution)

    def _filters(self, stage: int) -> int:
        return filters(self.config, stage)

    def _name(self, part: str) -> str:
        return f"{self.name}_{part}"

    def _weight_settings(self, part: str) -> dict[str, Any]:
        # Derive the seed from the part's name, not from the order of creation: a block made after
        # a restart starts the same, and so do the parts of a generator and of its EMA.
        # Python's `hash` would not do: it differs from process to process.
        seed = zlib.crc32(f"{self._seed}/{type(self).__name__}/{part}".encode()) & 0x7FFFFFFF
        return {"name": self._name(part), "seed": seed, "dtype": self._policy}

    def _get_or_make(self, key: str, make: Callable[[], Block]) -> Block:
        """Memoise a block: make it at the first call with a key, then return the same layers."""
        if key not in self._blocks:
            self._blocks[key] = make()
        return self._blocks[key]

    def _inputs(self) -> list[Any]:
        """Make the inputs of a generator: latents, and labels if there are classes."""
        inputs = [keras.Input((self.config.latent_size,), name="latents")]
        if self.label_size:
            inputs.append(keras.Input((self.label_size,), name="labels"))
        return inputs

    def _layer(self, kind: Callable[..., Any], part: str, *args: Any, **kwargs: Any) -> Any:
        """Make a layer without random initial weights, by default in the network's precision."""
        return kind(*args, **{"name": self._name(part), "dtype": self._policy, **kwargs})

    def _conv(self, part: str, filters: int, kernel_size: int = 3, **kwargs: Any) -> Any:
        return EqualizedConv2D(filters, kernel_size, **{**self._weight_settings(part), **kwargs})

    def _dense(self, part: str, units: int | tuple[int, ...], **kwargs: Any) -> Any:
        return EqualizedDense(units, **{**self._weight_settings(part), **kwargs})

    def _leaky(self, part: str, **kwargs: Any) -> Any:
        return self._layer(keras.layers.LeakyReLU, f"{part}_act", LEAK, **kwargs)

    def _conv_and_activation(
        self, part: str, filters: int, kernel_size: int = 3, **kwargs: Any
    ) -> Block:
        settings = {"bias_gain": self._bias_gain, **kwargs}
        return (self._conv(part, filters, kernel_size, **settings), self._leaky(part))


class ScoringNetwork(Network):
    """Base of all discriminators: their first layers, from images, and last ones, to scores."""

    def _from_rgb(self, shape: Shape) -> Block:
        part = f"{shape_name(shape)}_from_rgb"
        maps = self._filters(len(self.shapes(shape[0])))
        return self._get_or_make(part, lambda: self._conv_and_activation(part, maps, 1))

    def _last_block(self, units: int, outputs: int, gain: float = 1.0) -> Block:
        """Make a convolution and dense layers of `units` and `outputs`; the last has `gain`."""
        key = shape_name(self.start)
        return self._get_or_make(
            key,
            lambda: (
                self._layer(MinibatchStd, f"{key}_std", self.config.stddev_group),
                *self._conv_and_activation(f"{key}_conv", self._filters(1)),
                self._layer(keras.layers.Flatten, f"{key}_flatten"),
                self._dense(f"{key}_dense0", units, bias_gain=self._bias_gain),
                self._leaky(f"{key}_dense0"),
                # Always float32: scores differ by less than half precision resolves.
                self._dense(f"{key}_dense1", outputs, gain=gain, bias_gain=gain, dtype="float32"),
            ),
        )
