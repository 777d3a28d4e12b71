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


# Draw these outside the networks: a resumed run could not repeat numbers that a layer draws.
class LatentBatch(NamedTuple):
    """Random inputs of a batch of images, besides labels."""

    latents: Any  # Standard normal latents `(batch, latent_size)`
    others: Any = None  # Second latents for style mixing, in the same shape; None without mixing
    cuts: Any = None
    """Number of first layers that take the styles of `latents`, int32 `(batch,)`, or None; later
    layers take those of `others`."""
    noise: tuple[Any, ...] = ()
    """Standard normal maps `(batch, height, width, 1)`, one for each layer with noise."""


class Draw(Protocol):
    """Function that draws random numbers, which follow from the images seen."""

    def __call__(
        self,
        distribution: Callable[..., Any],
        shape: tuple[int, ...],
        *,
        part: int = 0,
        for_all: bool = False,
    ) -> Any:
        """Draw numbers for each sample, or with `for_all` the same numbers for all samples.

        Args:
            distribution: TensorFlow's `stateless_normal` or `stateless_uniform`.
            shape: Shape of the numbers of one sample.
            part: Index of the draw within the batch; each gives other numbers.
            for_all: True to draw once for the global batch, and repeat that for each sample.
        """


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
        """Compute the points at which path lengths are measured: normalised latents, or styles."""

    def images_at(self, points: Any, draws: LatentBatch, labels: Any) -> Any:
        """Generate images from points, as `points` returns them."""

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
    """Generation in families with styles; `mixing` is the probability of style mixing.

    Source: arXiv:1812.04948, section 3.1.
    """

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
            # Draw one cut for the global batch, so that it does not depend on the number of
            # replicas. The official code draws one per device.
            mix_draw, cut_draw = tf.unstack(draw(uniform, (2,), part=2, for_all=True), axis=-1)
            # The cut is uniform over 1 … layers - 1, where only layers of this phase count.
            cut = 1 + tf.cast(cut_draw * (self.layers - 1), tf.int32)
            # Without mixing, cut after the last layer.
            cuts = tf.where(mix_draw < self.mixing, cut, self.layers)
        maps = (tuple(layer.map.shape) for layer in self.sampler.fixed_noise)
        # Start at part 3: parts 1 and 2 are for mixing, even without it, so noise stays the same.
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
