"""Protocol of the sampler that an export is made of: seeds, latents and styles to images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import keras
import tensorflow as tf


class Sampler(Protocol):
    """Images of one generator.

    Between a latent and its image lies a point: the latent itself, or its style in a family with
    styles.
    """

    @property
    def model(self) -> keras.Model:
        """Model with every variable: latents, with labels `[latents, labels]`, to images."""

    @property
    def size(self) -> int:
        """Length of a point."""

    def traced(self) -> Sampler:
        """Return the same sampler, of whose networks a SavedModel stores each graph once."""

    def latents(self, seeds: Any) -> Any:
        """Latents, each a function of its own seed: int64 `(n,)` → `(n, latent_size)`."""

    def points(self, latents: Any, labels: Any = None) -> Any:
        """Points of latents: `(batch, latent_size)` → `(batch, size)`.

        Args:
            latents: `(batch, latent_size)`.
            labels: One-hot `(batch, classes)`, None without labels.
        """

    def between(self, first: Any, last: Any, shares: Any) -> Any:
        """Points on the way, the first itself at the share 0 and the last at 1.

        Args:
            first: `(size,)`.
            last: Likewise.
            shares: `(steps,)`, 0 … 1.
        """

    def images(self, points: Any, labels: Any = None, truncation: Any = None) -> Any:
        """Images of points: `(batch, size)` → `(batch, height, width, channels)`, about [-1, 1].

        Args:
            points: `(batch, size)`.
            labels: Labels as for `points`.
            truncation: Share of a style's distance to the mean that is left, `(batch,)`; None
                truncates nothing.
        """


@runtime_checkable
class StyleSampler(Sampler, Protocol):
    """Sampler of a family with styles."""

    @property
    def layers(self) -> int:
        """Number of layers that take a style."""

    def of_layers(self, points: Any) -> Any:
        """The same style for each layer: `(batch, size) → (batch, layers, size)`."""

    def truncated(self, styles: Any, truncation: Any) -> Any:
        """Styles `(batch, layers, size)` drawn towards their mean, as in `images`."""

    def synthesise(self, styles: Any) -> Any:
        """Images of a style for each layer, under noise that is always the same."""


def traced_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose graph is stored once for each shape, however many signatures call it."""
    return tf.function(function, autograph=False)


def called(model: keras.Model, *inputs: Any) -> Any:
    """Call a model on its first inputs, and leave out what else is given, as labels may be."""
    tensors = [tf.convert_to_tensor(each) for each in inputs[: len(model.inputs)]]
    return model(tensors[0] if len(tensors) == 1 else tensors, training=False)
