"""Real images as a phase sees them: from bytes, and as coarse as a network that fades in."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from layers.resample import box_down, nearest_up


def scaled(images: Any) -> Any:
    """uint8 0 … 255 → float32 -1 … 1, same shape."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def fade_reals(images: Any, alpha: Any) -> Any:
    """Real images as coarse as the faded-in network's: blended with their half-size selves."""
    coarse = nearest_up(box_down(images, 2), 2)
    return coarse + (images - coarse) * alpha
