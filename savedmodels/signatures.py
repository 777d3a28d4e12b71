"""What an exported generator answers: latents drawn from seeds, floats and 8-bit pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def latents_of_seeds(seeds: Any, size: int) -> Any:
    """Standard normal latents, each a function of its own seed: int64 `(n,)` → `(n, size)`."""

    def one(seed: Any) -> Any:
        return tf.random.stateless_normal((size,), tf.stack([seed, tf.zeros_like(seed)]))

    return tf.map_fn(
        one, tf.cast(seeds, tf.int64), fn_output_signature=tf.TensorSpec((size,), tf.float32)
    )


def to_uint8(images: Any) -> Any:
    """Float images, -1 … 1 → uint8 0 … 255, same shape; what lies outside is clipped."""
    return tf.saturate_cast(tf.round(images * 127.5 + 127.5), tf.uint8)


def input_specs(generator: keras.Model) -> list[tf.TensorSpec]:
    """Named specifications of a generator's inputs with a free batch size: latents, labels."""
    return [
        tf.TensorSpec((None, *tensor.shape[1:]), tf.float32, name=tensor.name)
        for tensor in generator.inputs
    ]


def signatures_of(generator: keras.Model) -> dict[str, Callable[..., dict[str, Any]]]:
    """The signatures by name; each takes the generator's inputs in order.

    `serving_default`: latents `(batch, latent_size)` and, for a labelled model, one-hot labels
    `(batch, classes)` → `images` float32 `(batch, height, width, channels)` in [-1, 1].
    `serving_uint8`: the same → `images` uint8.
    """

    def make(*inputs: Any) -> Any:
        return generator(inputs[0] if len(inputs) == 1 else list(inputs), training=False)

    return {
        "serving_default": lambda *inputs: {"images": tf.clip_by_value(make(*inputs), -1.0, 1.0)},
        "serving_uint8": lambda *inputs: {"images": to_uint8(make(*inputs))},
    }
