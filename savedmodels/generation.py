"""Generation of images in a graph, alike with styles and without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import keras
import tensorflow as tf

from savedmodels.exportable import StyleParts

BATCH = 16
"""Images of seeds are always made in batches of so many, as their last bits depend on that."""
PARALLEL = 1e-4
"""Least sine of the angle between two latents for an arc; below it a line is as good."""


class Generation(Protocol):
    """Image generation of one family."""

    @property
    def size(self) -> int:
        """Length of a point."""

    def points(self, latents: Any, labels: Any) -> Any:
        """Between which one interpolates: latents, or styles; `(batch, size)`.

        Args:
            latents: `(batch, latent_size)`.
            labels: `(batch, classes)`, None without labels.
        """

    def between(self, first: Any, last: Any, shares: Any) -> Any:
        """Points on the way, the first itself at the share 0 and the last at 1.

        Args:
            first: `(size,)`.
            last: Likewise.
            shares: `(steps,)`, 0 … 1.
        """

    def images(self, points: Any, labels: Any, truncation: Any) -> Any:
        """`(batch, height, width, channels)`, about [-1, 1].

        Args:
            points: `(batch, size)`.
            labels: Labels as for `points`.
            truncation: Share of a style's distance to the mean that is left, `(batch,)`; None
                without styles.
        """


class FromLatents:
    """Generation of a family without styles.

    Args:
        model: Latents, with labels `[latents, labels]`, to images.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = traced_once(model)
        self.size = int(model.inputs[0].shape[-1])

    def points(self, latents: Any, labels: Any) -> Any:
        """The latents."""
        return latents

    def between(self, first: Any, last: Any, shares: Any) -> Any:
        """On the arc, where latents are as likely as their ends are.

        `sin((1 - t) Ω) / sin Ω · first + sin(t Ω) / sin Ω · last`, where Ω is the angle.
        """
        product = tf.reduce_sum(first * last) / (tf.norm(first) * tf.norm(last))
        angle = tf.acos(tf.clip_by_value(product, -1.0, 1.0))
        shares = tf.stack([1.0 - shares, shares])
        arcs = tf.math.divide_no_nan(tf.sin(shares * angle), tf.sin(angle))
        weights = tf.where(tf.sin(angle) > PARALLEL, arcs, shares)[..., tf.newaxis]
        return weights[0] * first + weights[1] * last

    def images(self, points: Any, labels: Any, truncation: Any) -> Any:
        """Return the model's images."""
        return self._model(points, labels)


class FromStyles:
    """Generation of a family with styles.

    Args:
        parts: Parts of the generator.
    """

    def __init__(self, parts: StyleParts) -> None:
        _, self.layers, self.size = parts.synthesis.inputs[0].shape
        self.synthesis = traced_once(parts.synthesis)
        self._mapping = traced_once(parts.mapping)
        self._truncation = parts.truncation

    def points(self, latents: Any, labels: Any) -> Any:
        """The styles w, not truncated."""
        return self._mapping(latents, labels)

    def between(self, first: Any, last: Any, shares: Any) -> Any:
        """On the line."""
        shares = shares[:, tf.newaxis]
        return (1.0 - shares) * first + shares * last

    def images(self, points: Any, labels: Any, truncation: Any) -> Any:
        """Return images of styles that are the same in each layer."""
        return self.synthesis(self.truncated(self.of_layers(points), truncation))

    def of_layers(self, points: Any) -> Any:
        """`(batch, size) → (batch, layers, size)`."""
        return tf.repeat(points[:, tf.newaxis], self.layers, axis=1)

    def truncated(self, styles: Any, truncation: Any) -> Any:
        """Styles of layers drawn towards their mean; where the share is 1 they stay as they are."""
        shares = truncation[:, tf.newaxis, tf.newaxis]
        return tf.where(shares == 1.0, styles, self._truncation(styles, psi=shares))


def traced_once(model: keras.Model) -> Callable[..., Any]:
    """A function of a model's first inputs, which leaves out what else it gets.

    However many signatures call it, its graph is stored once for each shape.
    """
    count = len(model.inputs)

    @tf.function(autograph=False)
    def answer(*inputs: Any) -> Any:
        return model(inputs[0] if count == 1 else list(inputs), training=False)

    return lambda *inputs: answer(*inputs[:count])


def in_batches(function: Callable[..., Any], columns: Mapping[str, Any], row: tf.TensorSpec) -> Any:
    """Apply a function to rows, always `BATCH` of them, filled up.

    One batch is in memory at a time.

    Args:
        function: Function of a batch of each column, by name.
        columns: Each with as many rows, at least one.
        row: Shape and dtype of what it gives for one.
    """
    count = tf.shape(next(iter(columns.values())))[0]
    batches = (count + BATCH - 1) // BATCH
    places = tf.range(batches * BATCH) % count
    parts = {
        name: tf.reshape(tf.gather(column, places), (batches, BATCH, *column.shape[1:]))
        for name, column in columns.items()
    }
    found = tf.map_fn(
        lambda part: function(**part),
        parts,
        fn_output_signature=tf.TensorSpec((BATCH, *row.shape), row.dtype),
        parallel_iterations=1,
    )
    return tf.reshape(found, (-1, *row.shape))[:count]
