"""Gradient penalties of the discriminator: what is asked of its gradient, and at which images.

Every penalty is a float32 vector `(batch,)`. `scale` is a factor on the gradient's norm: images
enlarged s times by nearest neighbour and averaged back have a gradient norm 1/s times as large, and
the official ProGAN code measures there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from pipeline.config import ObjectiveConfig, PenaltyName

Critic = Callable[[Any], Any]


def squared_gradient(critic: Critic, images: Any) -> Any:
    """`‖∇D(x)‖²`, `(batch, height, width, channels)` → `(batch,)`.

    Args:
        critic: Images to scores, each score a function of its own image (or of a group's).
        images: Points at which the gradient is taken.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        # Each score depends on its own image, so the gradient of the sum holds every sample's.
        total = tf.reduce_sum(critic(images))
    gradient = tf.cast(tape.gradient(total, images), tf.float32)
    return tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])


def norm_of(square: Any, scale: float = 1.0) -> Any:
    """`‖∇D(x)‖`, of its square; 1e-12 under the root keeps its gradient finite where it is zero."""
    return scale * tf.sqrt(square + 1e-12)


def two_sided(square: Any, scale: float = 1.0) -> Any:
    """`(‖∇D(x)‖ - 1)²`, of `‖∇D(x)‖²`. Source: arXiv:1704.00028, equation 3."""
    return tf.square(norm_of(square, scale) - 1.0)


def one_sided(square: Any, scale: float = 1.0) -> Any:
    """`max(0, ‖∇D(x)‖ - 1)²`, of `‖∇D(x)‖²`. Source: arXiv:1709.08894 (WGAN-LP)."""
    return tf.square(tf.nn.relu(norm_of(square, scale) - 1.0))


def zero_centred(square: Any, scale: float = 1.0) -> Any:
    """`‖∇D(x)‖²`. Source: arXiv:1902.03984 (0-GP), between reals and fakes."""
    return scale**2 * square


def half_zero_centred(square: Any, scale: float = 1.0) -> Any:
    """`‖∇D(x)‖² / 2`: R1 on reals, R2 on fakes. Source: arXiv:1801.04406, equations 9 and 10."""
    return scale**2 / 2 * square


def mix(reals: Any, fakes: Any, weights: Any) -> Any:
    """`reals + (fakes - reals) · weights`, with one weight of `(batch, 1, 1, 1)` a sample."""
    return reals + (fakes - reals) * weights


MEASURES: Mapping[PenaltyName, Callable[[Any, float], Any]] = MappingProxyType(
    {"two_sided": two_sided, "one_sided": one_sided, "zero_centred": zero_centred}
)
"""What `objective.penalty` asks of the gradient at mixed images; `none` asks nothing."""


@dataclass(frozen=True)
class GradientPenalty:
    """One penalty of an objective.

    Args:
        name: Name under which it is logged.
        weight: Weight of its value in the discriminator's loss.
        points: `(reals, fakes, mix weights) → images` at which the gradient is taken.
        measure: `(‖∇D(x)‖², scale) → penalty`.
        needs_fakes: Whether `points` looks at fakes; else they may be None.
    """

    name: str
    weight: float
    points: Callable[[Any, Any, Any], Any]
    measure: Callable[[Any, float], Any]
    needs_fakes: bool = True


def penalties_of(objective: ObjectiveConfig) -> tuple[GradientPenalty, ...]:
    """The gradient penalties that have a weight."""
    penalties = (
        *(
            GradientPenalty("penalty", objective.penalty_weight, mix, measure)
            for name, measure in MEASURES.items()
            if name == objective.penalty
        ),
        GradientPenalty(
            "r1", objective.r1, lambda reals, *_: reals, half_zero_centred, needs_fakes=False
        ),
        GradientPenalty("r2", objective.r2, lambda _, fakes, __: fakes, half_zero_centred),
    )
    return tuple(penalty for penalty in penalties if penalty.weight)
