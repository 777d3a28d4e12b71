"""Label loss of a conditional GAN whose discriminator also classifies (AC-GAN)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def label_loss(labels: Any, logits: Any) -> Any:
    """Cross-entropy of one-hot labels and logits, both `(batch, classes)` → `(batch,)`.

    Source: arXiv:1610.09585; arXiv:1710.10196, the official `loss.py`.
    """
    return tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
