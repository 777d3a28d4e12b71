"""Sampler of a generator: seeds → latents → points → images, differentiable from the latents on.

Points are what one interpolates: styles, or latents in families without styles. A sampler
works on TensorFlow tensors; `Painter` makes NumPy images with it.
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
PARALLEL = 1e-4  # Sine of the angle between two latents below which a line replaces the arc.


@dataclass(frozen=True)
class LatentSampler:
    """Sampler of a family without styles, whose points are the latents."""

    model: keras.Model  # Model from latents, or `[latents, labels]`, to images
    generate: Callable[[Any, Any], Any]
    """Function from latents and labels to images, which calls `model`."""

    @property
    def size(self) -> int:
        """Length of a latent."""
        return int(self.model.inputs[0].shape[-1])

    def traced(self) -> LatentSampler:
        """Return a copy for export: a SavedModel then stores the graph of each network once."""
        return replace(self, generate=traced_once(self.generate))

    def latents(self, seeds: Any) -> Any:
        """Draw latents, each a function of its own seed: int64 `(n,)` → `(n, latent_size)`."""
        return latents_of_seeds(seeds, self.size)

    def points(self, latents: Any, labels: Any = None) -> Any:
        """Return the latents, which are the points."""
        return latents

    def between(self, first: Any, last: Any, shares: Any) -> Any:
        """Interpolate: `(sin((1 - t) Ω) first + sin(t Ω) last) / sin Ω`, with Ω the angle."""
        # Take the arc, not the line: points on the line are shorter than latents usually are.
        cosine = tf.reduce_sum(first * last) / (tf.norm(first) * tf.norm(last))
        # Clip to the domain of `acos`, which rounding errors may leave.
        angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))
        shares = tf.stack([1.0 - shares, shares])
        # Keep `arcs` finite even where the line is used: `where` sends gradients through both.
        arcs = tf.math.divide_no_nan(tf.sin(shares * angle), tf.sin(angle))
        weights = tf.where(tf.sin(angle) > PARALLEL, arcs, shares)[..., tf.newaxis]
        return weights[0] * first + weights[1] * last

    def images(self, points: Any, labels: Any = None, truncation: Any = None) -> Any:
        """Make images from latents: `(batch, height, width, channels)`, about [-1, 1]."""
        return self.generate(points, labels)


@dataclass(frozen=True)
class StyleSampler:
    """Sampler of a family with styles, whose points are styles w."""

    model: keras.Model  # Model from latents, or `[latents, labels]`, to images
    layers: int  # Number of layers that take a style
    size: int  # Length of a style
    map_latents: Callable[[Any, Any], Any]  # Function from latents and labels to styles
    synthesis: Callable[..., Any]  # Function from styles of all layers and noise maps to images
    truncation: Truncation  # Layer that truncates styles
    fixed_noise: Sequence[keras.layers.Layer]  # Layers that return the model's own noise maps

    def traced(self) -> StyleSampler:
        """Return a copy for export: a SavedModel then stores the graph of each network once."""
        return replace(
            self,
            map_latents=traced_once(self.map_latents),
            synthesis=traced_once(self.synthesis),
        )

    def latents(self, seeds: Any) -> Any:
        """Draw latents, each a function of its own seed: int64 `(n,)` → `(n, latent_size)`."""
        return latents_of_seeds(seeds, int(self.model.inputs[0].shape[-1]))

    def points(self, latents: Any, labels: Any = None) -> Any:
        """Map latents to styles w, without truncation: `(batch, size)`."""
        return self.map_latents(latents, labels)

    def between(self, first: Any, last: Any, shares: Any) -> Any:
        """Interpolate linearly between two styles."""
        shares = shares[:, tf.newaxis]
        return (1.0 - shares) * first + shares * last

    def images(self, points: Any, labels: Any = None, truncation: Any = None) -> Any:
        """Make images with the same style in every layer and constant noise."""
        styles = self.of_layers(points)
        return self.synthesise(styles if truncation is None else self.truncated(styles, truncation))

    def of_layers(self, points: Any) -> Any:
        """Repeat styles for every layer: `(batch, size) → (batch, layers, size)`."""
        return tf.repeat(points[:, tf.newaxis], self.layers, axis=1)

    def truncated(self, styles: Any, truncation: Any, cutoff: int | None = None) -> Any:
        """Truncate styles: move them towards the mean style; a factor of 1 leaves them unchanged.

        Args:
            styles: Styles `(batch, layers, size)`.
            truncation: Factor on the distance to the mean style: a number, or `(batch,)`.
            cutoff: Number of layers to truncate, from the first; None for all.
        """
        if isinstance(truncation, (int, float)):
            return self.truncation(styles, psi=truncation, cutoff=cutoff)
        psi = truncation[:, tf.newaxis, tf.newaxis]
        truncated = self.truncation(styles, psi=psi, cutoff=cutoff)
        # Keep styles at psi = 1: `mean + 1 · (style - mean)` would change the last bits.
        return tf.where(psi == 1.0, styles, truncated)

    def noise(self, mode: NoiseMode, seeds: Any) -> list[Any]:
        """Make the noise maps of every layer, first layer first, each `(batch, height, width, 1)`.

        Args:
            mode: `constant` for the model's own maps, `random` to draw by seed, `none` for zeros.
            seeds: Seed of each image, int64 `(batch,)`.
        """
        if mode == "constant":
            # Pass the seeds only for their batch size, all that these layers read.
            return [layer(seeds) for layer in self.fixed_noise]
        shapes = [tuple(layer.map.shape) for layer in self.fixed_noise]
        if mode == "none":
            return [tf.zeros((seeds.shape[0], *shape)) for shape in shapes]
        return [noise_of_seeds(seeds, number, shape) for number, shape in enumerate(shapes)]

    def synthesise(self, styles: Any, noise: Sequence[Any] | None = None) -> Any:
        """Make images, about [-1, 1], from styles of all layers; None means constant noise."""
        maps = [layer(styles) for layer in self.fixed_noise] if noise is None else noise
        return self.synthesis(styles, *maps)


AnySampler: TypeAlias = LatentSampler | StyleSampler


def latent_sampler(model: keras.Model) -> LatentSampler:
    """Make the sampler of a model from latents, or `[latents, labels]`, to images."""
    return LatentSampler(model, partial(called, model))


def sampler_of(network: Any, model: keras.Model, resolution: int, *, fading: bool) -> AnySampler:
    """Make the sampler of generator `network`; `model` is `network.model(resolution, fading=…)`."""
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
