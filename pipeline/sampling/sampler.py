"""The sampler: latents → points → images of one generator, with gradients all the way.

Nothing here is rounded, cut into batches or turned into NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import keras
import tensorflow as tf

from layers.truncation import Truncation
from pipeline.sampling.latents import latents_of_seeds, noise_of_seeds
from savedmodels.sampler import called, traced_once

NoiseMode: TypeAlias = Literal["constant", "random", "none"]
PARALLEL = 1e-4
"""Least sine of the angle between two latents for an arc; below it a line is as good."""


@dataclass(frozen=True)
class LatentSampler:
    """Sampler of a family without styles, whose points are latents.

    Args:
        model: Latents, with labels `[latents, labels]`, to images.
        generate: Images of latents and labels, by that model.
    """

    model: keras.Model
    generate: Callable[[Any, Any], Any]

    @property
    def size(self) -> int:
        """Length of a latent."""
        return int(self.model.inputs[0].shape[-1])

    def traced(self) -> LatentSampler:
        """Return the same sampler, of whose network a SavedModel stores each graph once."""
        return replace(self, generate=traced_once(self.generate))

    def latents(self, seeds: Any) -> Any:
        """Latents, each a function of its own seed: int64 `(n,)` → `(n, latent_size)`."""
        return latents_of_seeds(seeds, self.size)

    def points(self, latents: Any, labels: Any = None) -> Any:
        """The latents."""
        return latents

    def between(self, first: Any, last: Any, shares: Any) -> Any:
        """Points on the arc, where latents are as likely as their ends are.

        `sin((1 - t) Ω) / sin Ω · first + sin(t Ω) / sin Ω · last`, where Ω is the angle.
        """
        product = tf.reduce_sum(first * last) / (tf.norm(first) * tf.norm(last))
        angle = tf.acos(tf.clip_by_value(product, -1.0, 1.0))
        shares = tf.stack([1.0 - shares, shares])
        arcs = tf.math.divide_no_nan(tf.sin(shares * angle), tf.sin(angle))
        weights = tf.where(tf.sin(angle) > PARALLEL, arcs, shares)[..., tf.newaxis]
        return weights[0] * first + weights[1] * last

    def images(self, points: Any, labels: Any = None, truncation: Any = None) -> Any:
        """Images of latents: `(batch, height, width, channels)`, about [-1, 1]."""
        return self.generate(points, labels)


@dataclass(frozen=True)
class StyleSampler:
    """Sampler of a family with styles, whose points are styles w.

    Args:
        model: Latents, with labels `[latents, labels]`, to images.
        layers: Number of layers that take a style.
        size: Length of a style.
        map_latents: Styles of latents and labels.
        synthesis: Styles of layers and noise maps to images.
        truncation: Layer that draws styles towards their mean.
        fixed_noise: Layers that give each noise map as the model has it.
    """

    model: keras.Model
    layers: int
    size: int
    map_latents: Callable[[Any, Any], Any]
    synthesis: Callable[..., Any]
    truncation: Truncation
    fixed_noise: Sequence[keras.layers.Layer]

    def traced(self) -> StyleSampler:
        """Return the same sampler, of whose networks a SavedModel stores each graph once."""
        return replace(
            self,
            map_latents=traced_once(self.map_latents),
            synthesis=traced_once(self.synthesis),
        )

    def latents(self, seeds: Any) -> Any:
        """Latents, each a function of its own seed: int64 `(n,)` → `(n, latent_size)`."""
        return latents_of_seeds(seeds, int(self.model.inputs[0].shape[-1]))

    def points(self, latents: Any, labels: Any = None) -> Any:
        """The styles w of latents, not truncated: `(batch, size)`."""
        return self.map_latents(latents, labels)

    def between(self, first: Any, last: Any, shares: Any) -> Any:
        """Points on the line."""
        shares = shares[:, tf.newaxis]
        return (1.0 - shares) * first + shares * last

    def images(self, points: Any, labels: Any = None, truncation: Any = None) -> Any:
        """Images of styles that are the same in each layer, under constant noise."""
        styles = self.of_layers(points)
        return self.synthesise(styles if truncation is None else self.truncated(styles, truncation))

    def of_layers(self, points: Any) -> Any:
        """The same style for each layer: `(batch, size) → (batch, layers, size)`."""
        return tf.repeat(points[:, tf.newaxis], self.layers, axis=1)

    def truncated(self, styles: Any, truncation: Any, cutoff: int | None = None) -> Any:
        """Styles drawn towards their mean; where the share is 1 they stay as they are.

        Args:
            styles: `(batch, layers, size)`.
            truncation: Share of the distance to the mean that is left: a number, or `(batch,)`.
            cutoff: Number of layers to truncate, the first ones; None for all.
        """
        if isinstance(truncation, (int, float)):
            return self.truncation(styles, psi=truncation, cutoff=cutoff)
        shares = truncation[:, tf.newaxis, tf.newaxis]
        drawn = self.truncation(styles, psi=shares, cutoff=cutoff)
        return tf.where(shares == 1.0, styles, drawn)

    def noise(self, mode: NoiseMode, seeds: Any) -> list[Any]:
        """Noise maps of each image, `(batch, height, width, 1)` each, in the order of layers.

        Args:
            mode: `constant`, the model's own for all; `random`, by seed; or `none`, zeros.
            seeds: Seed of each image, int64 `(batch,)`.
        """
        if mode == "constant":
            return [layer(seeds) for layer in self.fixed_noise]
        shapes = [tuple(layer.map.shape) for layer in self.fixed_noise]
        if mode == "none":
            return [tf.zeros((seeds.shape[0], *shape)) for shape in shapes]
        return [noise_of_seeds(seeds, number, shape) for number, shape in enumerate(shapes)]

    def synthesise(self, styles: Any, noise: Sequence[Any] | None = None) -> Any:
        """Images of a style for each layer: `(batch, height, width, channels)`, about [-1, 1].

        Args:
            styles: `(batch, layers, size)`.
            noise: Noise maps as by `noise`, None for the model's own.
        """
        maps = [layer(styles) for layer in self.fixed_noise] if noise is None else noise
        return self.synthesis(styles, *maps)


AnySampler: TypeAlias = LatentSampler | StyleSampler


def latent_sampler(model: keras.Model) -> LatentSampler:
    """Return the sampler of a model from latents, with labels `[latents, labels]`, to images."""
    return LatentSampler(model, partial(called, model))


def sampler_of(network: Any, model: keras.Model, resolution: int, *, fading: bool) -> AnySampler:
    """Return the sampler of a generator.

    Args:
        network: Network that made the model.
        model: Its `model(resolution, fading=fading)`.
        resolution: Resolution of the images in pixels.
        fading: Whether that resolution is being faded in.
    """
    if not network.config.has_styles:
        return latent_sampler(model)
    synthesis = network.synthesis(resolution, fading=fading)
    _, layers, size = synthesis.inputs[0].shape
    return StyleSampler(
        model,
        layers=layers,
        size=size,
        map_latents=partial(called, network.mapping()),
        synthesis=partial(called, synthesis),
        truncation=network.truncation,
        fixed_noise=[
            model.get_layer(f"{network.name}_{name}") for name in network.noise_shapes(resolution)
        ],
    )
