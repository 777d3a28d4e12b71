"""Generation of fakes during training: random inputs of a family, and images from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from pipeline.objectives.path_length import normalise
from pipeline.sampling.sampler import AnySampler, LatentSampler, StyleSampler

normal = tf.random.stateless_normal
uniform = tf.random.stateless_uniform


# Inputs of the networks, never drawn in a layer: a layer's own draws no resume could repeat.
class LatentBatch(NamedTuple):
    """Random inputs of a batch of images, besides labels.

    Args:
        latents: Standard normal latents `(batch, latent_size)`.
        others: Second latents for style mixing, in the same shape, or None.
        cuts: Number of layers that take the styles of the first latents, int32 `(batch,)`, or None.
        noise: Standard normal maps `(batch, height, width, 1)`, one for each layer with noise.
    """

    latents: Any
    others: Any = None
    cuts: Any = None
    noise: tuple[Any, ...] = ()


class Draw(Protocol):
    """Function that draws random numbers from the clock."""

    def __call__(
        self,
        sampler: Callable[..., Any],
        shape: tuple[int, ...],
        *,
        part: int = 0,
        for_all: bool = False,
    ) -> Any:
        """Draw numbers for each sample, or with `for_all` the same numbers for all samples."""


class Generation(Protocol):
    """Image generation of one family during training."""

    @property
    def sampler(self) -> AnySampler:
        """Sampler of the generator."""

    def draws(self, draw: Draw) -> LatentBatch:
        """Draw the random inputs of a batch."""

    def images(self, draws: LatentBatch, labels: Any) -> Any:
        """Generate images `(batch, height, width, channels)`, about [-1, 1]."""

    def points(self, draws: LatentBatch, labels: Any) -> Any:
        """Return the points at which path lengths are measured: normalised latents, or styles."""

    def images_at(self, points: Any, draws: LatentBatch, labels: Any) -> Any:
        """Generate images from such points."""

    def mean_style(self, draws: LatentBatch, labels: Any) -> Any:
        """Return the mean of the styles w, `(size,)`, or None in families without styles."""


@dataclass(frozen=True)
class FromLatents:
    """Generation in families without styles, from latents and labels."""

    sampler: LatentSampler

    def draws(self, draw: Draw) -> LatentBatch:
        """Draw latents."""
        return LatentBatch(draw(normal, (self.sampler.size,)))

    def images(self, draws: LatentBatch, labels: Any) -> Any:
        """Generate images from the latents."""
        return self.images_at(draws.latents, draws, labels)

    def points(self, draws: LatentBatch, labels: Any) -> Any:
        """Return the normalised latents."""
        return normalise(draws.latents)

    def images_at(self, points: Any, draws: LatentBatch, labels: Any) -> Any:
        """Generate images from latents."""
        return self.sampler.images(points, labels)

    def mean_style(self, draws: LatentBatch, labels: Any) -> Any:
        """Return None: there are no styles."""
        return None


@dataclass(frozen=True)
class FromStyles:
    """Generation in families with styles. Source: arXiv:1812.04948, section 3.1."""

    sampler: StyleSampler
    mixing: float

    @property
    def layers(self) -> int:
        """Number of layers that take a style in this phase."""
        return self.sampler.layers

    def draws(self, draw: Draw) -> LatentBatch:
        """Draw latents, noise and, for mixing, other latents and a cut."""
        size = self.sampler.model.inputs[0].shape[-1]
        latents = draw(normal, (size,))
        others = cuts = None
        if self.mixing and self.layers > 1:
            others = draw(normal, (size,), part=1)
            # One cut for the global batch, so the draw does not depend on the replicas; the
            # official code draws one per device.
            whether, where = tf.unstack(draw(uniform, (2,), part=2, for_all=True), axis=-1)
            # Uniform over 1 … layers - 1, where only layers that are active in this phase count.
            cut = 1 + tf.cast(where * (self.layers - 1), tf.int32)
            # A cut after the last layer mixes nothing.
            cuts = tf.where(whether < self.mixing, cut, self.layers)
        maps = (tuple(layer.map.shape) for layer in self.sampler.fixed_noise)
        # Parts 1 and 2 are for mixing, drawn or not: noise does not depend on it.
        noise = (draw(normal, shape, part=3 + n) for n, shape in enumerate(maps))
        return LatentBatch(latents, others, cuts, tuple(noise))

    def images(self, draws: LatentBatch, labels: Any) -> Any:
        """Generate images from mixed styles and noise."""
        return self.images_at(self.points(draws, labels), draws, labels)

    def points(self, draws: LatentBatch, labels: Any) -> Any:
        """Return the styles of every layer, mixed at the cuts."""
        styles = self._styles(draws.latents, labels)
        if draws.others is None:
            return self.sampler.of_layers(styles)
        others = self._styles(draws.others, labels)[:, tf.newaxis]
        first = tf.range(self.layers) < draws.cuts[:, tf.newaxis]
        return tf.where(first[..., tf.newaxis], styles[:, tf.newaxis], others)

    def images_at(self, points: Any, draws: LatentBatch, labels: Any) -> Any:
        """Generate images from styles and the drawn noise."""
        return self.sampler.synthesise(points, draws.noise)

    def mean_style(self, draws: LatentBatch, labels: Any) -> Any:
        """Return the mean of the styles w, `(size,)`."""
        return tf.reduce_mean(self._styles(draws.latents, labels), axis=0)

    def _styles(self, latents: Any, labels: Any) -> Any:
        return tf.cast(self.sampler.points(latents, labels), tf.float32)
