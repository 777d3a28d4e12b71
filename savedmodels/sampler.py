"""Protocols of samplers: seeds, latents and styles to images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import keras
import tensorflow as tf


class Sampler(Protocol):
    """Sampler of images from one generator.

    A point is what it interpolates: the latent, or in a family with styles the latent's style.
    """

    @property
    def model(self) -> keras.Model:
        """Model that holds every variable: latents, or `[latents, labels]`, to images."""

    @property
    def size(self) -> int:
        """Length of a point."""

    def traced(self) -> Sampler:
        """Return a sampler for export, whose networks a SavedModel stores once each."""

    def latents(self, seeds: Any) -> Any:
        """Draw latents, each from its own seed only: int64 `(n,)` → `(n, latent_size)`."""

    def points(self, latents: Any, labels: Any = None) -> Any:
        """Map latents to points: `(batch, latent_size)` → `(batch, size)`.

        Labels are one-hot, `(batch, classes)`; None for a model without labels.
        """

    def between(self, first: Any, last: Any, shares: Any) -> Any:
        """Interpolate between points `(size,)`: the first at share 0, the last at 1; `(steps,)`."""

    def images(self, points: Any, labels: Any = None, truncation: Any = None) -> Any:
        """Make images from points: `(batch, size)` → `(batch, height, width, channels)` in [-1, 1].

        Truncation is a factor on each style's distance from the mean style, `(batch,)`, or None.
        """


@runtime_checkable
class StyleSampler(Sampler, Protocol):
    """Sampler of a family with styles."""

    @property
    def layers(self) -> int:
        """Number of layers that take a style."""

    def of_layers(self, points: Any) -> Any:
        """Repeat each style for all layers: `(batch, size) → (batch, layers, size)`."""

    def truncated(self, styles: Any, truncation: Any) -> Any:
        """Truncate styles, `(batch, layers, size)`: move them towards the mean style."""

    def synthesise(self, styles: Any) -> Any:
        """Make images from one style per layer, with noise that is always the same."""


def traced_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Trace a function, so that a SavedModel stores its graph once, not once per signature."""
    return tf.function(function, autograph=False)


def called(model: keras.Model, *inputs: Any) -> Any:
    """Call a model on as many inputs as it takes; further ones, such as labels, are ignored."""
    tensors = [tf.convert_to_tensor(each) for each in inputs[: len(model.inputs)]]
    return model(tensors[0] if len(tensors) == 1 else tensors, training=False)
