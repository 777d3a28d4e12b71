"""Shared parts of all networks: blocks by resolution, names and initial weights."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from layers.equalized import EqualizedConv2D, EqualizedDense
from layers.weighted_sum import WeightedSum
from pipeline.families.config import NetworkConfig
from pipeline.shape import Shape, level_shapes

START_RESOLUTION = 4
"""Resolution of the first block in families that grow, at whatever size a schedule starts."""
LEAK = 0.2

Block = Sequence[keras.layers.Layer]


def filters(config: NetworkConfig, stage: int) -> int:
    """Number of feature maps of a stage; stage s has resolution 2^(s+1)."""
    return min(config.fmap_base // 2**stage, config.fmap_max)


def sides(resolution: int) -> list[int]:
    """List the resolutions after 4 px, up to this one."""
    return [2**n for n in range(START_RESOLUTION.bit_length(), resolution.bit_length())]


def stage_of(resolution: int) -> int:
    """Number the stage of a resolution: 4 px is stage 1, 8 px stage 2."""
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
    """Network of blocks, each made at its first use and shared by all later models."""

    def __init__(
        self,
        config: NetworkConfig,
        *,
        channels: int,
        label_size: int = 0,
        precision: str = "float32",
        seed: int = 0,
        start: Shape = (START_RESOLUTION, START_RESOLUTION),
        name: str,
    ) -> None:
        self.start = start
        self.config = config
        self.channels = channels
        self.label_size = label_size
        self.name = name
        self._policy = keras.DTypePolicy(precision)
        self._seed = seed
        self._blocks: dict[str, Block] = {}
        # Alpha is a float32 weight that every step assigns, so a phase is traced once.
        self.fade = WeightedSum(name=f"{name}_fade", dtype="float32")

    def shapes(self, resolution: int) -> list[Shape]:
        """Shapes of the blocks' features, from the first block to images of this height."""
        return level_shapes(self.start, resolution)

    def _filters(self, stage: int) -> int:
        return filters(self.config, stage)

    def _name(self, part: str) -> str:
        return f"{self.name}_{part}"

    def _weighted(self, part: str) -> dict[str, Any]:
        # The seed follows from the part's name, not from the order of creation: a block made after
        # a restart starts the same, and so do the parts of a generator and of its EMA.
        seed = zlib.crc32(f"{self._seed}/{type(self).__name__}/{part}".encode()) & 0x7FFFFFFF
        return {"name": self._name(part), "seed": seed, "dtype": self._policy}

    def _made(self, key: str, make: Callable[[], Block]) -> Block:
        """Return the block under a key; make it at the first call."""
        if key not in self._blocks:
            self._blocks[key] = make()
        return self._blocks[key]

    def _inputs(self) -> list[Any]:
        """Inputs of a generator: latents, and labels in a labelled run."""
        inputs = [keras.Input((self.config.latent_size,), name="latents")]
        if self.label_size:
            inputs.append(keras.Input((self.label_size,), name="labels"))
        return inputs

    def _conv(self, part: str, filters: int, kernel_size: int = 3, **kwargs: Any) -> Any:
        return EqualizedConv2D(filters, kernel_size, **{**self._weighted(part), **kwargs})

    def _dense(self, part: str, units: int | tuple[int, ...], **kwargs: Any) -> Any:
        return EqualizedDense(units, **{**self._weighted(part), **kwargs})

    def _leaky(self, part: str, **kwargs: Any) -> Any:
        settings = {"name": self._name(part), "dtype": self._policy, **kwargs}
        return keras.layers.LeakyReLU(LEAK, **settings)
