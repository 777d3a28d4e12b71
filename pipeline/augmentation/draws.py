"""Random numbers for augmentation, from stateless draws: functions of a key, one row per sample.

For ADA, `ada_draws` makes them, and `Chances` gives each transform its own columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import tensorflow as tf

from pipeline.config import Transform


class Draws(NamedTuple):
    """Random numbers for a batch, one row per sample; None for kinds that no transform needs.

    The numbers are drawn for the global batch, and each replica takes its rows, as for latents.
    """

    uniforms: Any = None  # Uniform numbers from 0 to 1, `(batch, columns)`
    normals: Any = None  # Standard normal numbers, `(batch, columns)`
    gates: Any = None
    """Uniform numbers from 0 to 1, `(batch, columns)`; a transform is applied if its number is
    below the transform's probability."""
    noise: Any = None  # Standard normal numbers in the shape of the images


class Columns(NamedTuple):
    """Number of columns of `Draws` that a transform uses, by kind."""

    uniforms: int = 0
    normals: int = 0
    gates: int = 1


COLUMNS: Mapping[Transform, Columns] = MappingProxyType(
    {
        "xflip": Columns(uniforms=1),
        "rotate90": Columns(uniforms=1),
        "xint": Columns(uniforms=2),
        "scale": Columns(normals=1),
        "rotate": Columns(uniforms=2, gates=2),
        "aniso": Columns(normals=1),
        "xfrac": Columns(normals=2),
        "brightness": Columns(normals=1),
        "contrast": Columns(normals=1),
        "lumaflip": Columns(uniforms=1),
        "hue": Columns(uniforms=1),
        "saturation": Columns(normals=1),
        "imgfilter": Columns(normals=4, gates=4),
        "noise": Columns(normals=1),
        "cutout": Columns(uniforms=2),
    }
)
"""Number of columns of every transform. All columns are always drawn, so leaving a transform out
changes no other one. Keep order and numbers: a change would give every run other draws."""

_TOTAL = Columns(*map(sum, zip(*COLUMNS.values(), strict=True)))


def uniforms_of(key: Any, number: int, shape: Sequence[int]) -> Any:
    """Draw uniform numbers from 0 to 1; each `number` gives an independent draw from the key."""
    return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(key, number))


def normals_of(key: Any, number: int, shape: Sequence[int]) -> Any:
    """Draw standard normal numbers; each `number` gives an independent draw from the key."""
    return tf.random.stateless_normal(shape, tf.random.experimental.stateless_fold_in(key, number))


def ada_draws(key: Any, shape: Sequence[int], shares: Mapping[Transform, float]) -> Draws:
    """Draw the random numbers of ADA for images of a shape, from a key, int32 `(2,)`.

    `shares` are those of `Chances`: without the transform `noise`, no noise is drawn.
    """
    batch = shape[0]
    return Draws(
        uniforms=uniforms_of(key, 0, (batch, _TOTAL.uniforms)),
        normals=normals_of(key, 1, (batch, _TOTAL.normals)),
        gates=uniforms_of(key, 2, (batch, _TOTAL.gates)),
        # Draw noise only if needed, because it has a number per pixel and channel.
        noise=normals_of(key, 3, shape) if "noise" in shares else None,
    )


@dataclass(frozen=True)
class Chances:
    """Draws and probabilities of ADA: which transforms are applied to each image, and how much."""

    draws: Draws  # Draws from `ada_draws`
    p: Any  # Probability of ADA, from 0 to 1, `()`
    shares: Mapping[Transform, float]
    """Factor on p for each transform; transforms that are not in it are never applied."""

    def any_of(self, transforms: Sequence[Transform]) -> bool:
        """Return true if any of these transforms may be applied."""
        return any(transform in self.shares for transform in transforms)

    def uniforms(self, transform: Transform) -> Any:
        """Return the uniform numbers of a transform, `(batch, columns)`."""
        return _columns(self.draws.uniforms, transform, "uniforms")

    def normals(self, transform: Transform) -> Any:
        """Return the normal numbers of a transform, `(batch, columns)`."""
        return _columns(self.draws.normals, transform, "normals")

    def factors(self, transform: Transform, deviation: float) -> Any:
        """Return factors `2^(deviation · normal)`; 1 where the transform is not applied."""
        return self.where_applied(transform, 2.0 ** (deviation * self.normals(transform)), 1.0)

    def where_applied(
        self, transform: Transform, value: Any, otherwise: float, *, times: int = 1
    ) -> Any:
        """Keep a transform's parameters where it is applied; use a neutral value elsewhere.

        Args:
            transform: Transform whose gates decide for each sample.
            value: Values `(batch, columns)`: a column per gate, or any number for a single gate.
            otherwise: Neutral value, with which the transform changes nothing.
            times: Number of gates; at least one of them opens with the transform's probability.
        """
        probability = self.p * self.shares.get(transform, 0.0)
        # Let each gate open more rarely, so that at least one of them opens with `probability`.
        if times > 1:
            probability = 1.0 - (1.0 - probability) ** (1 / times)
        gates = _columns(self.draws.gates, transform, "gates")
        return tf.where(gates < probability, value, otherwise)


def _columns(numbers: Any, transform: Transform, kind: str) -> Any:
    counts = [getattr(columns, kind) for columns in COLUMNS.values()]
    number = list(COLUMNS).index(transform)
    first = sum(counts[:number])
    return numbers[:, first : first + counts[number]]
