"""Search for the first tensor of a step that is not finite, on the device.

The step leaves the tensor's index on the device. The host reads it a step later, without waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class NonFinite:
    """Name of a tensor that is not finite, and the images seen after its step."""

    tensor: str
    images_seen: int


@dataclass(frozen=True)
class Check:
    """Result of one compiled function: the index of its first value that is not finite."""

    values: Mapping[str, Any]
    """Checked scalars and vectors, in the order in which they are computed."""
    weights: Mapping[str, Sequence[str]]
    """Names of the weights, for values that are `half_squared_norms` of gradients."""
    first: Any  # Index from `first_non_finite(values)`
    images_seen: int  # Images seen after the step

    def found(self) -> NonFinite | None:
        """Wait for the device, and return the first tensor that is not finite, None if all are."""
        index = int(self.first)
        for name, value in self.values.items():
            size = value.shape.num_elements()
            if index < size:
                if name in self.weights:
                    # `half_squared_norms` are in reverse order of the weights.
                    name = f"gradient of {self.weights[name][-1 - index]}"
                return NonFinite(name, self.images_seen)
            index -= size
        return None


def first_non_finite(values: Mapping[str, Any]) -> Any:
    """Index of the first non-finite element over all values, int64 `()`.

    If all are finite, it is the number of elements.
    """
    elements = tf.concat([tf.reshape(value, [-1]) for value in values.values()], axis=0)
    # Append a bad element, which is found if there is no other.
    bad = tf.concat([tf.logical_not(tf.math.is_finite(elements)), [True]], axis=0)
    return tf.argmax(tf.cast(bad, tf.int32))


def half_squared_norms(gradients: Sequence[Any]) -> Any:
    """Compute half the squared norm of each gradient, from the last weight to the first.

    This is the order in which backpropagation computes gradients.
    """
    # `tf.linalg.global_norm` has the same operation, so the compiled step computes it only once.
    return tf.stack([tf.nn.l2_loss(gradient) for gradient in reversed(gradients)])


def image_means(images: Any) -> Any:
    """Mean of each image, `(batch, height, width, channels)` → `(batch,)`."""
    return tf.reduce_mean(images, axis=[1, 2, 3])
