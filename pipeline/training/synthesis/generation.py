"""Images from what is drawn for them while a run trains: latents, and for styles cuts and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from pipeline.objectives.path_length import normalised
from pipeline.sampling.sampler import AnySampler, LatentSampler, StyleSampler

normal = tf.random.stateless_normal
uniform = tf.random.stateless_uniform


class Draws(NamedTuple):
    """Random inputs of a batch of images, beside labels.

    Args:
        latents: Normal `(batch, latent_size)`.
        others: Likewise, those whose styles follow after the cut, or None.
        cuts: int32 `(batch,)`, how many layers take the styles of the first latents, or None.
        noise: Normal `(batch, height, width, 1)` each, for every layer that adds some.
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
            sampler: One of TensorFlow's stateless samplers.
            shape: Shape of the draw for one sample.
            part: Which of several draws of one batch this is.
            for_all: Whether samples share the numbers.
        """


class Generation(Protocol):
    """Image generation of one family during training."""

    @property
    def sampler(self) -> AnySampler:
        """Sampler of the generator."""

    def draws(self, draw: Draw) -> Draws:
        """Draw the random inputs of a batch."""

    def images(self, draws: Draws, labels: Any) -> Any:
        """`(batch, height, width, channels)`, about [-1, 1]."""

    def points(self, draws: Draws, labels: Any) -> Any:
        """Return the points at which path lengths are measured: normalised latents, or styles."""

    def images_at(self, points: Any, draws: Draws, labels: Any) -> Any:
        """The images of such points."""

    def mean_style(self, draws: Draws, labels: Any) -> Any:
        """The mean of styles w, `(size,)`, or None of a family without any."""


@dataclass(frozen=True)
class FromLatents:
    """Generation of a family whose images follow from latents and labels alone.

    Args:
        sampler: Sampler of the generator.
    """

    sampler: LatentSampler

    def draws(self, draw: Draw) -> Draws:
        """Draw latents."""
        return Draws(draw(normal, (self.sampler.size,)))

    def images(self, draws: Draws, labels: Any) -> Any:
        """Return images of the latents."""
        return self.images_at(draws.latents, draws, labels)

    def points(self, draws: Draws, labels: Any) -> Any:
        """Return the normalised latents."""
        return normalised(draws.latents)

    def images_at(self, points: Any, draws: Draws, labels: Any) -> Any:
        """Return images of these latents."""
        return self.sampler.images(points, labels)

    def mean_style(self, draws: Draws, labels: Any) -> Any:
        """Return None: there are no styles."""
        return None


@dataclass(frozen=True)
class FromStyles:
    """Generation of a family with styles: each layer has its own, and adds noise.

    Args:
        sampler: Sampler of the generator.
        mixing: Share of the batches whose images take the styles of two latents, cut at a layer.

    Source: arXiv:1812.04948, section 3.1: with that probability a cut for the whole batch, equally
    likely after each layer but the last.
    """

    sampler: StyleSampler
    mixing: float

    @property
    def layers(self) -> int:
        """Layers that take a style, those that are active in this phase."""
        return self.sampler.layers

    def draws(self, draw: Draw) -> Draws:
        """Draw latents, noise and, for mixing, other latents and a cut."""
        size = self.sampler.model.inputs[0].shape[-1]
        latents = draw(normal, (size,))
        others = cuts = None
        if self.mixing and self.layers > 1:
            others = draw(normal, (size,), part=1)
            whether, where = tf.unstack(draw(uniform, (2,), part=2, for_all=True), axis=-1)
            cut = 1 + tf.cast(where * (self.layers - 1), tf.int32)
            cuts = tf.where(whether < self.mixing, cut, self.layers)
        maps = (tuple(layer.map.shape) for layer in self.sampler.fixed_noise)
        noise = (draw(normal, shape, part=3 + n) for n, shape in enumerate(maps))
        return Draws(latents, others, cuts, tuple(noise))

    def images(self, draws: Draws, labels: Any) -> Any:
        """Return images of mixed styles and noise."""
        return self.images_at(self.points(draws, labels), draws, labels)

    def points(self, draws: Draws, labels: Any) -> Any:
        """Return the styles of every layer, mixed at the cuts."""
        styles = self._styles(draws.latents, labels)
        if draws.others is None:
            return self.sampler.of_layers(styles)
        others = self._styles(draws.others, labels)[:, tf.newaxis]
        first = tf.range(self.layers) < draws.cuts[:, tf.newaxis]
        return tf.where(first[..., tf.newaxis], styles[:, tf.newaxis], others)

    def images_at(self, points: Any, draws: Draws, labels: Any) -> Any:
        """Return images of these styles and the noise."""
        return self.sampler.synthesise(points, draws.noise)

    def mean_style(self, draws: Draws, labels: Any) -> Any:
        """Return the mean of the styles w, `(size,)`."""
        return tf.reduce_mean(self._styles(draws.latents, labels), axis=0)

    def _styles(self, latents: Any, labels: Any) -> Any:
        return tf.cast(self.sampler.points(latents, labels), tf.float32)
