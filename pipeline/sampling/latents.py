"""Draw latents and noise maps from seeds: an equal seed always gives equal numbers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def latents_of_seeds(seeds: Any, size: int) -> Any:
    """Draw standard normal latents, each from its own seed only: int64 `(n,)` → `(n, size)`."""
    return _normals_of_seeds(tf.cast(seeds, tf.int64), 0, (size,))


def noise_of_seeds(seeds: Any, number: int, shape: tuple[int, ...]) -> Any:
    """Draw the standard normal noise map `number` of the image of each seed: `(n, *shape)`."""
    # Add 1, because stream 0 is for latents.
    return _normals_of_seeds(seeds, 1 + number, shape)


def _normals_of_seeds(seeds: Any, stream: int, shape: tuple[int, ...]) -> Any:
    # Draw for one seed at a time, so that a draw does not depend on the others in the batch.
    def draw(seed: Any) -> Any:
        return tf.random.stateless_normal(shape, tf.stack([seed, tf.constant(stream, tf.int64)]))

    return tf.map_fn(draw, seeds, fn_output_signature=tf.TensorSpec(shape, tf.float32))
