"""The probability of ADA, steered so that reals are not told from fakes too easily.

Source: arXiv:2006.06676, section 3.2.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pipeline.config import AugmentationConfig


def first_probability(settings: AugmentationConfig) -> float:
    """The value of p before the first adjustment."""
    return settings.probability or 0.0


def mean_sign(scores: Any) -> Any:
    """`r = E[sign D(real)]`, of scores of augmented reals: 1 where all are taken for reals."""
    return tf.reduce_mean(tf.sign(scores))


def adjusted(p: Any, mean_sign: Any, images: Any, settings: AugmentationConfig) -> Any:
    """`p ← min(max(p + sign(r - target) · images / rise_images, 0), 1)`, unchanged if it is fixed.

    Args:
        p: So far, float32 `()`.
        mean_sign: r, over all scores since the last adjustment.
        images: Reals shown since then: those of `adjust_every` steps.
        settings: Settings with `target` and `rise_images`.
    """
    if not settings.steered:
        return p
    step = tf.cast(images, tf.float32) / settings.rise_images
    return tf.clip_by_value(p + tf.sign(mean_sign - settings.target) * step, 0.0, 1.0)
