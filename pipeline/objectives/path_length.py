"""Path length regularisation: equal steps in latent space change pictures equally much.

Source: arXiv:1912.04958, section 3.2 and the official `loss.py`. There the latents are styles w,
one a layer. Families without styles take z here, normalised as their generator normalises it: the
radius has no effect on the picture, so lengths are those along the sphere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pipeline.objectives.replicas import mean_over_replicas


def normalised(latents: Any) -> Any:
    """`z · rsqrt(mean(z²) + 1e-8)`, as `PixelNorm` does, `(batch, size)` → same."""
    return latents * tf.math.rsqrt(tf.reduce_mean(latents**2, axis=-1, keepdims=True) + 1e-8)


def path_lengths(generate: Callable[[Any], Any], latents: Any, noise: Any) -> Any:
    """`√(mean over layers Σ_size (J_wᵀ y)²)`, with `y = noise / √(height · width)`, → `(batch,)`.

    Args:
        generate: Latents to images, each a function of its own latents.
        latents: Float32 `(batch, size)`, or `(batch, layers, size)` for styles.
        noise: Standard normal, of the images' shape.

    Ours adds 1e-12 under the root: its gradient stays finite at a length of zero.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(latents)
        images = tf.cast(generate(latents), tf.float32)
        height, width = images.shape[1:3]
        total = tf.reduce_sum(images * noise) / (height * width) ** 0.5
    squares = tf.reduce_sum(tf.square(tape.gradient(total, latents)), axis=-1)
    if squares.shape.rank > 1:
        squares = tf.reduce_mean(squares, axis=list(range(1, squares.shape.rank)))
    return tf.sqrt(squares + 1e-12)


def moved_mean(mean: Any, lengths: Any, *, decay: float) -> Any:
    """`mean + decay · (mean of all replicas' lengths - mean)`, `(batch,)` → `()`.

    Gradients flow through the lengths, as in the official code.
    """
    return mean + decay * (mean_over_replicas(lengths) - mean)


def path_length_penalty(lengths: Any, mean: Any) -> Any:
    """`(length - mean)²`, with the mean already moved, `(batch,)` → `(batch,)`."""
    return tf.square(lengths - mean)
