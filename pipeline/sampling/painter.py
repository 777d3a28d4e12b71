"""NumPy images from a sampler, in batches of 16 because last bits depend on the batch size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.sampling.sampler import NoiseMode, StyleSampler
from savedmodels.batches import BATCH
from savedmodels.sampler import Sampler
from savedmodels.seeds import to_uint8

Styles = NDArray[np.float32]
"""Styles of every layer, `(images, layers, style_size)`."""


class Painter:
    """Painter of images from seeds, or from styles in families that have them.

    A style depends on the weights, its seed and its label only. An image depends on the weights,
    its seed or styles, its label and the noise mode; with random noise also on its seed.

    Seeds are not negative. Labels are indices of classes, for labelled generators. Noise is
    `constant`, the same maps for all; `random`, by seed; or `none`. Families without styles have
    `constant` alone. Each call uses the sampler's current weights.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    @property
    def has_styles(self) -> bool:
        """True if the sampler has styles; otherwise methods on styles must not be called."""
        return isinstance(self.sampler, StyleSampler)

    @property
    def layers(self) -> int:
        """Number of layers that take a style."""
        return self._styled.layers

    def of_seeds(
        self, seeds: Sequence[int], labels: Sequence[int] = (), noise: NoiseMode = "constant"
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield images of seeds in batches, uint8 `(at most 16, height, width, channels)`."""
        if noise != "constant":
            yield from self.batches(self.styles(seeds, labels), seeds, noise)
            return

        def images(seeds: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            points = self._points(seeds, labels)
            return to_uint8(self.sampler.images(points, self._one_hot(labels)))

        yield from in_batches(images, *_columns(seeds, labels))

    def styles(self, seeds: Sequence[int], labels: Sequence[int] = ()) -> Styles:
        """Map seeds, at least one, to styles, the same for each layer."""
        found = np.concatenate(list(in_batches(self._points, *_columns(seeds, labels))))
        # A view: repeated for each layer, the styles of many seeds would fill the memory.
        shape = (len(found), self._styled.layers, found.shape[-1])
        return np.broadcast_to(found[:, np.newaxis], shape)

    def truncated(self, styles: Styles, psi: float, cutoff: int | None = None) -> Styles:
        """Truncate styles as `StyleSampler.truncated`; psi = 0 gives their mean."""
        return np.asarray(self._styled.truncated(styles, psi, cutoff), np.float32)

    def images(
        self, styles: Styles, seeds: Sequence[int], noise: NoiseMode = "constant"
    ) -> NDArray[np.uint8]:
        """Make images from styles, at least one, uint8 `(images, height, width, channels)`."""
        return np.concatenate(list(self.batches(styles, seeds, noise)))

    def batches(
        self, styles: Styles, seeds: Sequence[int], noise: NoiseMode = "constant"
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the result of `images`, 16 images at a time."""
        yield from self._painted(styles, seeds, noise, to_uint8)

    def floats(self, styles: Styles) -> NDArray[np.float32]:
        """Make images from styles with constant noise: about 0 … 255, not rounded, not clipped."""
        seeds = range(len(styles))
        return np.concatenate(
            list(self._painted(styles, seeds, "constant", lambda images: images * 127.5 + 127.5))
        )

    def _painted(
        self, styles: Styles, seeds: Sequence[int], noise: NoiseMode, finish: Callable[[Any], Any]
    ) -> Iterator[NDArray[Any]]:
        sampler = self._styled

        def painted(styles: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
            return finish(sampler.synthesise(styles, sampler.noise(noise, seeds)))

        yield from in_batches(painted, styles, np.asarray(seeds, np.int64))

    def _points(self, seeds: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return self.sampler.points(self.sampler.latents(seeds), self._one_hot(labels))

    def _one_hot(self, labels: tf.Tensor) -> tf.Tensor | None:
        _, *classes = (tensor.shape[-1] for tensor in self.sampler.model.inputs)
        return tf.one_hot(labels, *classes) if classes else None

    @property
    def _styled(self) -> StyleSampler:
        assert isinstance(self.sampler, StyleSampler)
        return self.sampler


def _columns(seeds: Sequence[int], labels: Sequence[int]) -> tuple[NDArray[np.int64], ...]:
    return np.asarray(seeds, np.int64), np.asarray(labels, np.int64)


def in_batches(function: Callable[..., Any], *columns: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Apply a TensorFlow function to batches of rows; a column may have no rows at all."""
    traced = tf.function(function, autograph=False)
    for start in range(0, len(columns[0]), BATCH):
        parts = [column[start : start + BATCH] for column in columns]
        # Always 16 rows: one trace, and the same bits for an image in any batch.
        filled = (np.resize(part, (BATCH, *part.shape[1:])) for part in parts)
        yield traced(*map(tf.constant, filled)).numpy()[: len(parts[0])]
