"""Path length regularisation: equal steps in latent space should change images equally.

Source: arXiv:1912.04958, section 3.2 and the official `loss.py`, which differentiates images by the
styles w of every layer. For families without styles, ours differentiates by the normalised latents
z, because a generator that normalises z ignores its length.
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
    """Path length of each image, `√(mean over layers Σ_size (J_wᵀ y)²)` → `(batch,)`.

    J is the Jacobian of the image by its latent, and `y = noise / √(height · width)`.

    Args:
        generate: Function from latents to images; each image must depend on its own row only.
        latents: Latents, float32 `(batch, size)`, or styles `(batch, layers, size)`.
        noise: Standard normal numbers in the shape of the images.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(latents)
        # Compute penalties in float32 under every precision policy.
        images = tf.cast(generate(latents), tf.float32)
        height, width = images.shape[1:3]
        total = tf.reduce_sum(images * noise) / (height * width) ** 0.5
    squares = tf.reduce_sum(tf.square(tape.gradient(total, latents)), axis=-1)
    if squares.shape.rank > 1:  # Styles have an axis of layers.
        squares = tf.reduce_mean(squares, axis=list(range(1, squares.shape.rank)))
    # Add 1e-12, unlike the official code: the gradient stays finite at a length of zero.
    return tf.sqrt(squares + 1e-12)


def update_mean(mean: Any, lengths: Any, *, decay: float) -> Any:
    """Update the moving mean of path lengths: `mean + decay · (mean over replicas - mean)`."""
    # Gradients flow through the lengths, as in the official code.
    return mean + decay * (mean_over_replicas(lengths) - mean)


def path_length_penalty(lengths: Any, mean: Any) -> Any:
    """Penalty `(length - mean)²`, with the updated moving mean, `(batch,)` → same."""
    return tf.square(lengths - mean)
