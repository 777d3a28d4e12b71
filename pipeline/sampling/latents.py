"""Latents and noise maps as functions of seeds."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def latents_of_seeds(seeds: Any, size: int) -> Any:
    """Standard normal latents, each a function of its own seed: int64 `(n,)` → `(n, size)`."""
    return _normals_of_seeds(tf.cast(seeds, tf.int64), 0, (size,))


def noise_of_seeds(seeds: Any, number: int, shape: tuple[int, ...]) -> Any:
    """Standard normal noise map of each seed, by its number among the maps of an image."""
    # From 1 on: latents are drawn with 0 as the second number.
    return _normals_of_seeds(seeds, 1 + number, shape)


def _normals_of_seeds(seeds: Any, number: int, shape: tuple[int, ...]) -> Any:
    # One seed at a time: a draw must not depend on the others in the batch.
    def one(seed: Any) -> Any:
        return tf.random.stateless_normal(shape, tf.stack([seed, tf.constant(number, tf.int64)]))

    return tf.map_fn(one, seeds, fn_output_signature=tf.TensorSpec(shape, tf.float32))
