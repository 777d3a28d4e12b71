"""Adversarial losses of the discriminator and the generator, by name; loss of labels.

`r` are scores of reals and `f` scores of fakes, float32 `(batch, 1)`. Losses have the same shape,
one value per sample; the caller averages them over replicas. `softplus(x) = log(1 + exp(x))`, and
an overline is the mean over the batches of all replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from pipeline.config import LossName
from pipeline.objectives.replicas import mean_over_replicas


@dataclass(frozen=True)
class Adversarial:
    """Adversarial losses of the two networks.

    Args:
        critic: Loss of the discriminator, `(r, f) → (batch, 1)`.
        generator: Loss of the generator, `(r, f) → (batch, 1)`; r is None unless `needs_reals`.
        needs_reals: True if the generator's loss uses the scores of reals, which takes one more
            pass of the discriminator.
        samples_meet: True if the loss of a sample depends on the scores of other samples.
    """

    critic: Callable[[Any, Any], Any]
    generator: Callable[[Any, Any], Any]
    needs_reals: bool = False
    samples_meet: bool = False


def wasserstein_critic(reals: Any, fakes: Any) -> Any:
    """`f - r`. Source: arXiv:1701.07875, algorithm 1, with the sign turned."""
    return fakes - reals


def wasserstein_generator(_: Any, fakes: Any) -> Any:
    """`-f`. Source: arXiv:1701.07875, algorithm 1."""
    return -fakes


def logistic_critic(reals: Any, fakes: Any) -> Any:
    """`softplus(-r) + softplus(f)`: cross-entropy. Source: arXiv:1406.2661, equation 1."""
    return tf.nn.softplus(-reals) + tf.nn.softplus(fakes)


def logistic_generator(_: Any, fakes: Any) -> Any:
    """`softplus(-f)`, non-saturating. Source: arXiv:1406.2661, section 3."""
    return tf.nn.softplus(-fakes)


def minimax_generator(_: Any, fakes: Any) -> Any:
    """`-softplus(f)`, the discriminator's loss negated, saturating. Source: arXiv:1406.2661."""
    return -tf.nn.softplus(fakes)


def least_squares_critic(reals: Any, fakes: Any) -> Any:
    """`((r - 1)² + f²) / 2`. Source: arXiv:1611.04076, equation 9."""
    return (tf.square(reals - 1.0) + tf.square(fakes)) / 2.0


def least_squares_generator(_: Any, fakes: Any) -> Any:
    """`(f - 1)² / 2`. Source: arXiv:1611.04076, equation 9."""
    return tf.square(fakes - 1.0) / 2.0


def hinge_critic(reals: Any, fakes: Any) -> Any:
    """`max(0, 1 - r) + max(0, 1 + f)`. Source: arXiv:1705.02894; arXiv:1802.05957, equation 16."""
    return tf.nn.relu(1.0 - reals) + tf.nn.relu(1.0 + fakes)


def _symmetric_squares(reals: Any, fakes: Any) -> Any:
    """`(r - 1)² + (f + 1)²`."""
    return tf.square(reals - 1.0) + tf.square(fakes + 1.0)


def relativistic_average(critic: Callable[[Any, Any], Any]) -> Adversarial:
    """Relativistic average losses: `critic(r - f̄, f - r̄)` and `critic(f - r̄, r - f̄)`.

    `critic` is a loss `(r, f)` on plain scores. Gradients flow through the means.

    Source: arXiv:1807.00734, section 4.
    """

    def relative(reals: Any, fakes: Any) -> tuple[Any, Any]:
        # Over all replicas: a replica's own mean would make the loss depend on their number.
        return reals - mean_over_replicas(fakes), fakes - mean_over_replicas(reals)

    def generator(reals: Any, fakes: Any) -> Any:
        reals, fakes = relative(reals, fakes)
        return critic(fakes, reals)

    return Adversarial(
        lambda reals, fakes: critic(*relative(reals, fakes)),
        generator,
        needs_reals=True,
        samples_meet=True,
    )


def label_loss(labels: Any, logits: Any) -> Any:
    """Cross-entropy of one-hot labels and logits, both `(batch, classes)` → `(batch,)` (AC-GAN).

    Source: arXiv:1610.09585; arXiv:1710.10196, the official `loss.py`.
    """
    return tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)


LOSSES: Mapping[LossName, Adversarial] = MappingProxyType(
    {
        "wasserstein": Adversarial(wasserstein_critic, wasserstein_generator),
        "logistic": Adversarial(logistic_critic, logistic_generator),
        "minimax": Adversarial(logistic_critic, minimax_generator),
        "least_squares": Adversarial(least_squares_critic, least_squares_generator),
        "hinge": Adversarial(hinge_critic, wasserstein_generator),
        "relativistic_logistic": relativistic_average(logistic_critic),
        "relativistic_least_squares": relativistic_average(_symmetric_squares),
        "relativistic_hinge": relativistic_average(hinge_critic),
    }
)
"""Losses by `objective.loss`."""
