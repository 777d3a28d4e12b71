"""Path length regularisation: equal steps in latent space should change images equally.

Source: arXiv:1912.04958, section 3.2 and the official `loss.py`, where latents are the styles w of
every layer. For families without styles ours takes z, normalised as their generator does: the
radius has no effect on the image, so lengths are measured along the sphere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pipeline.objectives.replicas import mean_over_replicas


def normalise(latents: Any) -> Any:
    """Normalise latents like `PixelNorm`, `z · rsqrt(mean(z²) + 1e-8)`, `(batch, size)` → same."""
    return latents * tf.math.rsqrt(tf.reduce_mean(latents**2, axis=-1, keepdims=True) + 1e-8)


def path_lengths(generate: Callable[[Any], Any], latents: Any, noise: Any) -> Any:
    """`√(mean over layers Σ_size (J_wᵀ y)²)`, with `y = noise / √(height · width)`, → `(batch,)`.

    `latents` are float32 `(batch, size)`, or styles `(batch, layers, size)`, each of one image;
    `noise` is standard normal, in the shape of the images.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(latents)
        # Penalties are float32 under every precision.
        images = tf.cast(generate(latents), tf.float32)
        height, width = images.shape[1:3]
        total = tf.reduce_sum(images * noise) / (height * width) ** 0.5
    squares = tf.reduce_sum(tf.square(tape.gradient(total, latents)), axis=-1)
    if squares.shape.rank > 1:  # Styles have an axis of layers.
        squares = tf.reduce_mean(squares, axis=list(range(1, squares.shape.rank)))
    # 1e-12, not in the official code, keeps the gradient finite at a length of zero.
    return tf.sqrt(squares + 1e-12)


def update_mean(mean: Any, lengths: Any, *, decay: float) -> Any:
    """Update the moving mean: `mean + decay · (mean of lengths - mean)`, over all replicas."""
    # Gradients flow through the lengths, as in the official code.
    return mean + decay * (mean_over_replicas(lengths) - mean)


def path_length_penalty(lengths: Any, mean: Any) -> Any:
    """`(length - mean)²`, with the updated moving mean, `(batch,)` → same."""
    return tf.square(lengths - mean)
