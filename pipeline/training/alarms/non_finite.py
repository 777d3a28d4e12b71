"""The first tensor of a step that is not finite, by name, found where it is computed.

Nothing waits for it: the step leaves an index on the device, which is read a step later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class NonFinite:
    """A tensor that is not finite.

    Args:
        tensor: Its name.
        images_seen: The clock after its step.
    """

    tensor: str
    images_seen: int


@dataclass(frozen=True)
class Check:
    """Finding of one compiled function: the index of its first value that is not finite.

    Args:
        values: Checked values in the order in which they are computed: scalars and vectors.
        weights: Names of the weights, for values that are `squares` of gradients.
        first: `first_non_finite(values)`.
        images_seen: The clock after the step.
    """

    values: Mapping[str, Any]
    weights: Mapping[str, Sequence[str]]
    first: Any
    images_seen: int

    def found(self) -> NonFinite | None:
        """Return the tensor that is not finite, None if all are; waits for the device."""
        index = int(self.first)
        for name, value in self.values.items():
            size = value.shape.num_elements()
            if index < size:
                if name in self.weights:
                    name = f"gradient of {self.weights[name][-1 - index]}"
                return NonFinite(name, self.images_seen)
            index -= size
        return None


def first_non_finite(values: Mapping[str, Any]) -> Any:
    """Index, int64 `()`, of the first element that is not finite among those of all values.

    As many as there are, if all are finite.
    """
    elements = tf.concat([tf.reshape(value, [-1]) for value in values.values()], axis=0)
    # A last one that is found where there is no other.
    bad = tf.concat([tf.logical_not(tf.math.is_finite(elements)), [True]], axis=0)
    return tf.argmax(tf.cast(bad, tf.int32))


def squares(gradients: Sequence[Any]) -> Any:
    """Half the squared norm of each, in the order in which they are computed: from the last back.

    Written as `tf.linalg.global_norm` has it, so that the compiled step computes it once.
    """
    return tf.stack([tf.nn.l2_loss(gradient) for gradient in reversed(gradients)])


def levels(images: Any) -> Any:
    """The mean of each image, `(batch, height, width, channels)` → `(batch,)`."""
    return tf.reduce_mean(images, axis=[1, 2, 3])
