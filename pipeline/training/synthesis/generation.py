"""Images from what is drawn for them while a run trains: latents, and for styles cuts and noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import keras
import tensorflow as tf

from pipeline.objectives.path_length import normalised

normal = tf.random.stateless_normal
uniform = tf.random.stateless_uniform


class Draws(NamedTuple):
    """What images are made of beside labels, with a row for each.

    Args:
        latents: Normal `(batch, latent_size)`.
        others: Likewise, those whose styles follow after the cut, or None.
        cuts: int32 `(batch,)`, how many layers take the styles of the first latents, or None.
        noise: Normal `(batch, side, side, 1)` each, for every layer that adds some.
    """

    latents: Any
    others: Any = None
    cuts: Any = None
    noise: tuple[Any, ...] = ()


class Draw(Protocol):
    """A draw that is a function of the clock."""

    def __call__(
        self,
        sampler: Callable[..., Any],
        shape: tuple[int, ...],
        *,
        part: int = 0,
        for_all: bool = False,
    ) -> Any:
        """Numbers of that shape for each sample, or `for_all` of a batch the same.

        Args:
            sampler: Of TensorFlow's stateless ones.
            shape: Of one sample's.
            part: Which of several draws of one batch this is.
            for_all: Whether samples share the numbers.
        """


class Generation(Protocol):
    """How a family makes images while it is trained."""

    def draws(self, draw: Draw) -> Draws:
        """What images are to be made of."""

    def images(self, draws: Draws, labels: Any) -> Any:
        """`(batch, resolution, resolution, channels)`, about [-1, 1]."""

    def points(self, draws: Draws, labels: Any) -> Any:
        """Where path lengths are measured: normalised latents, or the styles of every layer."""

    def images_at(self, points: Any, draws: Draws, labels: Any) -> Any:
        """The images of such points."""

    def mean_style(self, draws: Draws, labels: Any) -> Any:
        """The mean of styles w, `(size,)`, or None of a family without any."""


@dataclass(frozen=True)
class FromLatents:
    """Of a family whose images follow from latents and labels alone.

    Args:
        model: Latents, with labels `[latents, labels]`, to images.
    """

    model: keras.Model

    def draws(self, draw: Draw) -> Draws:
        """As `Generation` has it."""
        size = tf.nest.flatten(self.model.inputs)[0].shape[-1]
        return Draws(draw(normal, (size,)))

    def images(self, draws: Draws, labels: Any) -> Any:
        """As `Generation` has it."""
        return self.images_at(draws.latents, draws, labels)

    def points(self, draws: Draws, labels: Any) -> Any:
        """As `Generation` has it."""
        return normalised(draws.latents)

    def images_at(self, points: Any, draws: Draws, labels: Any) -> Any:
        """As `Generation` has it."""
        return self.model(_asked(self.model, points, labels))

    def mean_style(self, draws: Draws, labels: Any) -> Any:
        """As `Generation` has it."""
        return None


@dataclass(frozen=True)
class FromStyles:
    """Of a family with styles: each layer has its own, and adds noise.

    Args:
        mapping: Latents, with labels `[latents, labels]`, to styles w.
        synthesis: `[styles (batch, layers, size), noise…]` to images.
        mixing: Share of the batches whose images take the styles of two latents, cut at a layer.

    Source: arXiv:1812.04948, section 3.1: with that probability a cut for the whole batch, equally
    likely after each layer but the last.
    """

    mapping: keras.Model
    synthesis: keras.Model
    mixing: float

    @property
    def layers(self) -> int:
        """Layers that take a style, those that are active in this phase."""
        return int(self.synthesis.inputs[0].shape[1])

    def draws(self, draw: Draw) -> Draws:
        """As `Generation` has it."""
        size = tf.nest.flatten(self.mapping.inputs)[0].shape[-1]
        latents = draw(normal, (size,))
        others = cuts = None
        if self.mixing and self.layers > 1:
            others = draw(normal, (size,), part=1)
            whether, where = tf.unstack(draw(uniform, (2,), part=2, for_all=True), axis=-1)
            cut = 1 + tf.cast(where * (self.layers - 1), tf.int32)
            cuts = tf.where(whether < self.mixing, cut, self.layers)
        maps = self.synthesis.inputs[1:]
        noise = (draw(normal, each.shape[1:], part=3 + n) for n, each in enumerate(maps))
        return Draws(latents, others, cuts, tuple(noise))

    def images(self, draws: Draws, labels: Any) -> Any:
        """As `Generation` has it."""
        return self.images_at(self.points(draws, labels), draws, labels)

    def points(self, draws: Draws, labels: Any) -> Any:
        """As `Generation` has it."""
        styles = self._styles(draws.latents, labels)[:, tf.newaxis]
        if draws.others is None:
            return tf.repeat(styles, self.layers, axis=1)
        others = self._styles(draws.others, labels)[:, tf.newaxis]
        first = tf.range(self.layers) < draws.cuts[:, tf.newaxis]
        return tf.where(first[..., tf.newaxis], styles, others)

    def images_at(self, points: Any, draws: Draws, labels: Any) -> Any:
        """As `Generation` has it."""
        return self.synthesis([points, *draws.noise] if draws.noise else points)

    def mean_style(self, draws: Draws, labels: Any) -> Any:
        """As `Generation` has it."""
        return tf.reduce_mean(self._styles(draws.latents, labels), axis=0)

    def _styles(self, latents: Any, labels: Any) -> Any:
        return tf.cast(self.mapping(_asked(self.mapping, latents, labels)), tf.float32)


def _asked(model: keras.Model, latents: Any, labels: Any) -> Any:
    """What a model takes: latents, or latents and labels."""
    inputs: Sequence[Any] = tf.nest.flatten(model.inputs)
    return latents if len(inputs) == 1 else [latents, labels]
