"""Controller of ADA's probability p: raises p when the discriminator overfits.

Source: arXiv:2006.06676, section 3.2.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pipeline.config import AugmentationConfig


def first_probability(settings: AugmentationConfig) -> float:
    """Return the initial p: the configured probability, or 0 if p is adapted."""
    return settings.probability or 0.0  # `probability` is None if p is adapted.


def mean_sign(scores: Any) -> Any:
    """Compute `r = E[sign D(real)]` from scores of augmented reals; 1 if all are judged real."""
    return tf.reduce_mean(tf.sign(scores))


def adjust_probability(p: Any, mean_sign: Any, images: Any, settings: AugmentationConfig) -> Any:
    """Adapt p: `min(max(p + sign(r - target) · images / rise_images, 0), 1)`; keep a fixed p.

    `mean_sign` is r over the reals since the last adjustment, and `images` their number.
    """
    if not settings.steered:
        return p
    step = tf.cast(images, tf.float32) / settings.rise_images
    return tf.clip_by_value(p + tf.sign(mean_sign - settings.target) * step, 0.0, 1.0)
