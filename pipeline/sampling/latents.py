"""The latents of seeds, which decide what every image of a seed is."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def latents_of_seeds(seeds: Any, size: int) -> Any:
    """Standard normal latents, each a function of its own seed: int64 `(n,)` → `(n, size)`."""

    def one(seed: Any) -> Any:
        return tf.random.stateless_normal((size,), tf.stack([seed, tf.zeros_like(seed)]))

    return tf.map_fn(
        one, tf.cast(seeds, tf.int64), fn_output_signature=tf.TensorSpec((size,), tf.float32)
    )


def noise_of_seeds(seeds: Any, number: int, shape: tuple[int, ...]) -> Any:
    """One of the noise maps of each seed: int64 `(n,)` → `(n, *shape)`, standard normal.

    Args:
        seeds: Seeds of the images.
        number: Number of the map among those of an image.
        shape: Height, width and 1.
    """

    def one(seed: Any) -> Any:
        # The second number is 0 where latents are drawn.
        return tf.random.stateless_normal(
            shape, tf.stack([seed, tf.constant(1 + number, tf.int64)])
        )

    return tf.map_fn(one, seeds, fn_output_signature=tf.TensorSpec(shape, tf.float32))
