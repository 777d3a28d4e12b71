"""Protocols of samplers, which turn seeds, latents or styles into images.

The signatures use these; pipeline/sampling/ implements them for each kind of generator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import keras
import tensorflow as tf


class Sampler(Protocol):
    """Sampler of images from one generator.

    Samplers interpolate between points: a point is a latent, or in a family with styles its style.
    """

    @property
    def model(self) -> keras.Model:
        """Generator with all variables: from latents, or `[latents, labels]`, to images."""

    @property
    def size(self) -> int:
        """Length of a point."""

    def traced(self) -> Sampler:
        """Return a sampler for export: a SavedModel stores each of its networks only once."""

    def latents(self, seeds: Any) -> Any:
        """Draw a latent from each seed alone: int64 `(n,)` → `(n, latent_size)`."""

    def points(self, latents: Any, labels: Any = None) -> Any:
        """Map latents to points: `(batch, latent_size)` → `(batch, size)`.

        Labels are one-hot, `(batch, classes)`; None for a model without labels.
        """

    def between(self, first: Any, last: Any, shares: Any) -> Any:
        """Interpolate between two points `(size,)` at shares from 0, the first, to 1, the last.

        The shares are `(steps,)`, the result is `(steps, size)`.
        """

    def images(self, points: Any, labels: Any = None, truncation: Any = None) -> Any:
        """Make images from points: `(batch, size)` → `(batch, height, width, channels)` in [-1, 1].

        Truncation, `(batch,)`, multiplies each style's distance from the mean style; only families
        with styles use it. They take labels in `points` only, others here only.
        """


@runtime_checkable
class StyleSampler(Sampler, Protocol):
    """Sampler of a family with styles, such as StyleGAN."""

    @property
    def layers(self) -> int:
        """Number of layers that take a style."""

    def of_layers(self, points: Any) -> Any:
        """Repeat each style for all layers: `(batch, size)` → `(batch, layers, size)`."""

    def truncated(self, styles: Any, truncation: Any) -> Any:
        """Truncate styles, `(batch, layers, size)`: scale their distance from the mean style."""

    def synthesise(self, styles: Any) -> Any:
        """Make images from one style per layer, with constant noise."""


def traced_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function in `tf.function`: a SavedModel stores its graph once, not per signature."""
    return tf.function(function, autograph=False)


def called(model: keras.Model, *inputs: Any) -> Any:
    """Call a model on the first inputs, as many as it takes; ignore the rest, such as labels."""
    tensors = [tf.convert_to_tensor(each) for each in inputs[: len(model.inputs)]]
    return model(tensors[0] if len(tensors) == 1 else tensors, training=False)
