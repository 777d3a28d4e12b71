"""Latents and noise maps as functions of seeds."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def latents_of_seeds(seeds: Any, size: int) -> Any:
    """Standard normal latents, each a function of its own seed: int64 `(n,)` → `(n, size)`."""

    # One seed at a time: a latent must not depend on the others in the batch.
    def one(seed: Any) -> Any:
        return tf.random.stateless_normal((size,), tf.stack([seed, tf.zeros_like(seed)]))

    return tf.map_fn(
        one, tf.cast(seeds, tf.int64), fn_output_signature=tf.TensorSpec((size,), tf.float32)
    )


def noise_of_seeds(seeds: Any, number: int, shape: tuple[int, ...]) -> Any:
    """Standard normal noise map of each seed: int64 `(n,)` → `(n, *shape)`.

    Args:
        seeds: Seeds of the images.
        number: Index of the map among the noise maps of an image.
        shape: Shape of the map: height, width and 1.
    """

    def one(seed: Any) -> Any:
        # From 1 on: latents are drawn with 0 as the second number.
        return tf.random.stateless_normal(
            shape, tf.stack([seed, tf.constant(1 + number, tf.int64)])
        )

    return tf.map_fn(one, seeds, fn_output_signature=tf.TensorSpec(shape, tf.float32))
