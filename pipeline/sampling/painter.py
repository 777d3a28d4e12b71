"""Make NumPy images with a sampler, always 16 at a time: the last bits depend on the batch size."""

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

Styles = NDArray[np.float32]  # Styles of every layer, `(images, layers, style_size)`.


class Painter:
    """Painter of images from seeds, or from styles in families that have them.

    A style depends only on the weights, its seed and its label. An image depends only on the
    weights, the noise mode, and its seed and label or its styles; with random noise, also its seed.

    Seeds are not negative. Labels are indices of classes, for labelled generators only. Noise is
    `constant` (the same maps for all images), `random` (drawn from the seed) or `none`. Families
    without styles accept `constant` only. Each call uses the sampler's current weights.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    @property
    def has_styles(self) -> bool:
        """True if the sampler has styles; otherwise only `of_seeds` may be called."""
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
        """Map seeds, at least one, to styles; every layer of an image has the same style."""
        found = np.concatenate(list(in_batches(self._points, *_columns(seeds, labels))))
        # Return a view: copies for each layer would fill the memory if there are many seeds.
        shape = (len(found), self._styled.layers, found.shape[-1])
        return np.broadcast_to(found[:, np.newaxis], shape)

    def truncated(self, styles: Styles, psi: float, cutoff: int | None = None) -> Styles:
        """Truncate styles as `StyleSampler.truncated` does; psi = 0 gives the mean style."""
        return np.asarray(self._styled.truncated(styles, psi, cutoff), np.float32)

    def images(
        self, styles: Styles, seeds: Sequence[int], noise: NoiseMode = "constant"
    ) -> NDArray[np.uint8]:
        """Make images from styles of at least one image: uint8 `(n, height, width, channels)`."""
        return np.concatenate(list(self.batches(styles, seeds, noise)))

    def batches(
        self, styles: Styles, seeds: Sequence[int], noise: NoiseMode = "constant"
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the images that `images` returns, 16 at a time."""
        yield from self._paint(styles, seeds, noise, to_uint8)

    def floats(self, styles: Styles) -> NDArray[np.float32]:
        """Make images from styles with constant noise: about 0 … 255, not rounded, not clipped."""
        seeds = range(len(styles))
        return np.concatenate(
            list(self._paint(styles, seeds, "constant", lambda images: images * 127.5 + 127.5))
        )

    def _paint(
        self, styles: Styles, seeds: Sequence[int], noise: NoiseMode, finish: Callable[[Any], Any]
    ) -> Iterator[NDArray[Any]]:
        """Make images from styles in batches; `finish` converts them from [-1, 1]."""
        sampler = self._styled

        def paint(styles: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
            return finish(sampler.synthesise(styles, sampler.noise(noise, seeds)))

        yield from in_batches(paint, styles, np.asarray(seeds, np.int64))

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
    """Apply a TensorFlow function to batches of rows from `columns`.

    All columns have one row per result; a column other than the first may be empty instead.
    """
    traced = tf.function(function, autograph=False)
    for start in range(0, len(columns[0]), BATCH):
        parts = [column[start : start + BATCH] for column in columns]
        # Fill every batch to 16 rows: one trace, and the same bits for an image in any batch.
        filled = (np.resize(part, (BATCH, *part.shape[1:])) for part in parts)
        yield traced(*map(tf.constant, filled)).numpy()[: len(parts[0])]
