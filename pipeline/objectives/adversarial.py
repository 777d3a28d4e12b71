"""Adversarial losses of the discriminator and the generator, by name; loss of class labels.

`r` are scores of reals and `f` scores of fakes, float32 `(batch, 1)`. Losses have the same shape,
one value per sample; the caller averages them over samples and replicas. `softplus(x) =
log(1 + exp(x))`, and a bar, as in `r̄`, is the mean over the batches of all replicas.
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
    """Adversarial losses of the two networks."""

    critic: Callable[[Any, Any], Any]  # Loss of the discriminator, `(r, f) → (batch, 1)`
    generator: Callable[[Any, Any], Any]
    """Loss of the generator, `(r, f) → (batch, 1)`; r is None unless `needs_reals`."""
    needs_reals: bool = False
    """True if the generator's loss uses the scores of reals, which takes one more pass."""
    samples_meet: bool = False
    """True if a sample's loss depends on other samples' scores: no batch can be split."""


def _logistic(reals: Any, fakes: Any) -> Any:
    return tf.nn.softplus(-reals) + tf.nn.softplus(fakes)


def _hinge(reals: Any, fakes: Any) -> Any:
    return tf.nn.relu(1.0 - reals) + tf.nn.relu(1.0 + fakes)


def _relativistic_average(critic: Callable[[Any, Any], Any]) -> Adversarial:
    """Make relativistic average losses from a discriminator loss `critic(r, f)` of plain scores.

    The discriminator's is `critic(r - f̄, f - r̄)`, the generator's `critic(f - r̄, r - f̄)`.
    Gradients flow through the means.
    """

    def relative(reals: Any, fakes: Any) -> tuple[Any, Any]:
        # Average over all replicas: means of one replica would make the loss depend on how many
        # replicas share the batch.
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
        # Source: arXiv:1701.07875, algorithm 1; negated for the discriminator, which minimises.
        "wasserstein": Adversarial(lambda r, f: f - r, lambda _, f: -f),
        # Source: arXiv:1406.2661, equation 1; non-saturating generator loss of section 3.
        "logistic": Adversarial(_logistic, lambda _, f: tf.nn.softplus(-f)),
        # Source: arXiv:1406.2661, equation 1; saturating generator loss.
        "minimax": Adversarial(_logistic, lambda _, f: -tf.nn.softplus(f)),
        # Source: arXiv:1611.04076, equation 9.
        "least_squares": Adversarial(
            lambda r, f: (tf.square(r - 1.0) + tf.square(f)) / 2.0,
            lambda _, f: tf.square(f - 1.0) / 2.0,
        ),
        # Source: arXiv:1705.02894; arXiv:1802.05957, equation 16.
        "hinge": Adversarial(_hinge, lambda _, f: -f),
        # Source: arXiv:1807.00734, section 4.
        "relativistic_logistic": _relativistic_average(_logistic),
        "relativistic_least_squares": _relativistic_average(
            lambda r, f: tf.square(r - 1.0) + tf.square(f + 1.0)
        ),
        "relativistic_hinge": _relativistic_average(_hinge),
    }
)
"""Losses by the value of `objective.loss`."""
