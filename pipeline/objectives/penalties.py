"""Gradient penalties of the discriminator, and the images at which gradients are taken.

Every penalty is a float32 vector `(batch,)`. `scale` multiplies the norm of the gradient. With a
scale of 1/s the penalty is as if measured on images enlarged s times (nearest neighbour), as in the
official ProGAN code: there the norm is 1/s of the norm on the images themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from pipeline.config import ObjectiveConfig, PenaltyName


def squared_gradient(critic: Callable[[Any], Any], images: Any) -> Any:
    """Compute `‖∇D(x)‖²` at images `(batch, height, width, channels)` → `(batch,)`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        # Differentiate the sum, which gives the gradient of every score at once: scores depend on
        # their own image, or on their group in the minibatch standard deviation.
        total = tf.reduce_sum(critic(images))
    # Compute penalties in float32 under every precision policy.
    gradient = tf.cast(tape.gradient(total, images), tf.float32)
    return tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])


def norm_of(square: Any, scale: float = 1.0) -> Any:
    """Return `scale · ‖∇D(x)‖`, given `‖∇D(x)‖²`."""
    # 1e-12 keeps the gradient of the root finite where the norm is zero.
    return scale * tf.sqrt(square + 1e-12)


def two_sided(square: Any, scale: float = 1.0) -> Any:
    """Penalty `(‖∇D(x)‖ - 1)²` from `‖∇D(x)‖²` (WGAN-GP). Source: arXiv:1704.00028, equation 3."""
    return tf.square(norm_of(square, scale) - 1.0)


def one_sided(square: Any, scale: float = 1.0) -> Any:
    """Penalty `max(0, ‖∇D(x)‖ - 1)²` from `‖∇D(x)‖²` (WGAN-LP). Source: arXiv:1709.08894."""
    return tf.square(tf.nn.relu(norm_of(square, scale) - 1.0))


def zero_centred(square: Any, scale: float = 1.0) -> Any:
    """Penalty `‖∇D(x)‖²` (0-GP), between reals and fakes. Source: arXiv:1902.03984."""
    return scale**2 * square


def half_zero_centred(square: Any, scale: float = 1.0) -> Any:
    """Penalty `‖∇D(x)‖² / 2`: R1 on reals, R2 on fakes. Source: arXiv:1801.04406, eq. 9 and 10."""
    return scale**2 / 2 * square


def mix(reals: Any, fakes: Any, weights: Any) -> Any:
    """Interpolate: `reals + (fakes - reals) · weights`, with weights `(batch, 1, 1, 1)`."""
    return reals + (fakes - reals) * weights


MEASURES: Mapping[PenaltyName, Callable[[Any, float], Any]] = MappingProxyType(
    {"two_sided": two_sided, "one_sided": one_sided, "zero_centred": zero_centred}
)
"""Penalties on the gradient at mixed images, by `objective.penalty`; `none` has no entry."""


@dataclass(frozen=True)
class GradientPenalty:
    """Gradient penalty of an objective."""

    name: str  # Name under which the penalty is logged
    weight: float  # Weight in the discriminator's loss
    points: Callable[[Any, Any, Any], Any]
    """Function `(reals, fakes, mix weights) → images`, where the gradient is taken."""
    measure: Callable[[Any, float], Any]  # Function `(‖∇D(x)‖², scale) → penalty`
    needs_fakes: bool = True  # True if `points` uses the fakes; otherwise they may be None


def penalties_of(objective: ObjectiveConfig) -> tuple[GradientPenalty, ...]:
    """List the gradient penalties of an objective whose weight is not 0."""
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
