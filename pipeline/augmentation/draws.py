"""The random numbers of augmentations: functions of a key, a row for each sample, no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import tensorflow as tf

from pipeline.config import Transform


class Draws(NamedTuple):
    """Random numbers for a batch, a row for each sample; None for those that nothing needs.

    A replica takes its rows of the draws for the global batch, as of latents.

    Args:
        uniforms: Uniforms from 0 to 1, `(batch, columns)`.
        normals: `(batch, columns)`.
        gates: Uniform `(batch, columns)`: below its probability, a transform is applied.
        noise: Normal, of the images' shape.
    """

    uniforms: Any = None
    normals: Any = None
    gates: Any = None
    noise: Any = None


class Columns(NamedTuple):
    """Count of random numbers of each kind that a transform takes."""

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
"""All transforms have their columns, whichever are applied: leaving one out changes no other.

Order and numbers are part of a run's identity and must not change.
"""

_TOTAL = Columns(*map(sum, zip(*COLUMNS.values(), strict=True)))


def uniforms_of(key: Any, number: int, shape: Sequence[int]) -> Any:
    """Uniform numbers from 0 to 1; those of another number of the same key are others."""
    return tf.random.stateless_uniform(shape, _folded(key, number))


def normals_of(key: Any, number: int, shape: Sequence[int]) -> Any:
    """Normal numbers; those of another number of the same key are others."""
    return tf.random.stateless_normal(shape, _folded(key, number))


def _folded(key: Any, number: int) -> Any:
    return tf.random.experimental.stateless_fold_in(key, number)


def ada_draws(key: Any, shape: Sequence[int], shares: Mapping[Transform, float]) -> Draws:
    """Draw the parameters of ADA's transforms.

    Args:
        key: A seed pair, int32 `(2,)`.
        shape: Shape of the images.
        shares: Shares of the transforms that are applied, as in `Chances`.
    """
    batch = shape[0]
    return Draws(
        uniforms=uniforms_of(key, 0, (batch, _TOTAL.uniforms)),
        normals=normals_of(key, 1, (batch, _TOTAL.normals)),
        gates=uniforms_of(key, 2, (batch, _TOTAL.gates)),
        noise=normals_of(key, 3, shape) if "noise" in shares else None,
    )


@dataclass(frozen=True)
class Chances:
    """Random numbers that decide which transforms images take, and how strongly.

    Args:
        draws: Parameters that `ada_draws` gave.
        p: Probability from 0 to 1, `()`.
        shares: The probability of each transform over p; those that are missing are not applied.
    """

    draws: Draws
    p: Any
    shares: Mapping[Transform, float]

    def any_of(self, transforms: Sequence[Transform]) -> bool:
        """Return whether one of the transforms may be applied."""
        return any(transform in self.shares for transform in transforms)

    def uniforms(self, transform: Transform) -> Any:
        """The transform's uniform numbers, `(batch, columns)`."""
        return _columns(self.draws.uniforms, transform, "uniforms")

    def normals(self, transform: Transform) -> Any:
        """The transform's normal numbers, `(batch, columns)`."""
        return _columns(self.draws.normals, transform, "normals")

    def applied(self, transform: Transform, value: Any, otherwise: float, *, times: int = 1) -> Any:
        """The value where the transform is applied.

        Args:
            transform: Transform whose gates decide.
            value: `(batch, columns)`, as many as there are gates, or for a single gate.
            otherwise: Value that changes nothing.
            times: Number of gates of which at least one is to open with the probability.
        """
        probability = self.p * self.shares.get(transform, 0.0)
        if times > 1:
            probability = 1.0 - (1.0 - probability) ** (1 / times)
        gates = _columns(self.draws.gates, transform, "gates")
        return tf.where(gates < probability, value, otherwise)


def _columns(numbers: Any, transform: Transform, kind: str) -> Any:
    counts = [getattr(columns, kind) for columns in COLUMNS.values()]
    number = list(COLUMNS).index(transform)
    first = sum(counts[:number])
    return numbers[:, first : first + counts[number]]
