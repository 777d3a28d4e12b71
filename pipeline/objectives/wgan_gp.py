"""The Wasserstein objective with gradient penalty and drift, and ProGAN's label terms.

Every loss is a vector with one float32 value a sample, so that the caller decides how to average
over replicas. Source: arXiv:1704.00028; arXiv:1710.10196, appendix A.1; the official `loss.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def critic_loss(real_scores: Any, fake_scores: Any, *, drift: float) -> Any:
    """`D(fake) - D(real) + drift · D(real)²`, `(batch, 1)` scores → `(batch,)`.

    Args:
        real_scores: Of real images.
        fake_scores: Of generated images.
        drift: Weight that keeps scores from drifting away from zero; 0.001 in the paper.
    """
    return tf.squeeze(fake_scores - real_scores + drift * tf.square(real_scores), axis=1)


def generator_loss(fake_scores: Any) -> Any:
    """`-D(fake)`, `(batch, 1)` scores → `(batch,)`."""
    return tf.squeeze(-fake_scores, axis=1)


def gradient_penalty(critic: Callable[[Any], Any], images: Any, *, scale: float = 1.0) -> Any:
    """`(scale · ‖∇D(x)‖₂ - 1)²`, `(batch, height, width, channels)` → `(batch,)`.

    Args:
        critic: Images to scores, each score a function of its own image (or of a group's).
        images: Points at which the gradient is taken: reals and fakes mixed.
        scale: Factor on the norm. Images enlarged s times by nearest neighbour and averaged back
            have a gradient norm 1/s times as large: the official code measures there.

    The root has 1e-12 added under it: its gradient stays finite at a norm of zero.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        # Each score depends on its own image, so the gradient of the sum holds every sample's.
        total = tf.reduce_sum(critic(images))
    gradient = tf.cast(tape.gradient(total, images), tf.float32)
    norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]) + 1e-12)
    return tf.square(scale * norm - 1.0)


def mix(reals: Any, fakes: Any, weights: Any) -> Any:
    """`reals + (fakes - reals) · weights`, with one weight of `(batch, 1, 1, 1)` a sample."""
    return reals + (fakes - reals) * weights


def label_loss(labels: Any, logits: Any) -> Any:
    """Cross-entropy of the class labels, one-hot and logits `(batch, classes)` → `(batch,)`."""
    return tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
