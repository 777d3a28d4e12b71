"""NumPy images of a sampler, in batches of 16: an image's last bits depend on its batch."""

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
"""`(images, layers, style_size)`."""


class Painter:
    """Images of seeds, and of styles where the sampler has some.

    A style is a function of the weights, its seed and its label alone, and an image of the weights,
    its seed or styles, its label, the noise mode and, where noise is random, its seed.

    Args:
        sampler: Sampler of a generator, whose weights are read anew by each call.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    @property
    def has_styles(self) -> bool:
        """Return whether the methods of styles may be called."""
        return isinstance(self.sampler, StyleSampler)

    @property
    def layers(self) -> int:
        """Number of layers that take a style."""
        return self._styled.layers

    def of_seeds(
        self, seeds: Sequence[int], labels: Sequence[int] = (), noise: NoiseMode = "constant"
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the images of seeds: uint8 `(at most 16, height, width, channels)`.

        Args:
            seeds: Not negative.
            labels: The number of each seed's class, for a labelled generator.
            noise: Kind of noise; other than constant in a family with styles only.
        """
        if noise != "constant":
            yield from self.batches(self.styles(seeds, labels), seeds, noise)
            return

        def images(seeds: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            points = self._points(seeds, labels)
            return to_uint8(self.sampler.images(points, self._one_hot(labels)))

        yield from in_batches(images, *_columns(seeds, labels))

    def styles(self, seeds: Sequence[int], labels: Sequence[int] = ()) -> Styles:
        """The styles of seeds, the same for each layer.

        Args:
            seeds: Not negative, at least one.
            labels: The number of each seed's class, for a labelled network.
        """
        found = np.concatenate(list(in_batches(self._points, *_columns(seeds, labels))))
        # A view: many seeds of a large network would fill the memory with equal numbers.
        shape = (len(found), self._styled.layers, found.shape[-1])
        return np.broadcast_to(found[:, np.newaxis], shape)

    def truncated(self, styles: Styles, psi: float, cutoff: int | None = None) -> Styles:
        """Styles drawn towards their mean, which they are at psi = 0.

        Args:
            styles: Styles to draw.
            psi: Share of their distance to the mean that is left.
            cutoff: Number of layers to truncate, the first ones; None for all.
        """
        return np.asarray(self._styled.truncated(styles, psi, cutoff), np.float32)

    def images(
        self, styles: Styles, seeds: Sequence[int], noise: NoiseMode = "constant"
    ) -> NDArray[np.uint8]:
        """`(images, height, width, channels)`, 0 … 255.

        Args:
            styles: At least one.
            seeds: Seeds of each image's noise.
            noise: `constant`, the same maps for all; `random`, by seed; or `none`.
        """
        return np.concatenate(list(self.batches(styles, seeds, noise)))

    def batches(
        self, styles: Styles, seeds: Sequence[int], noise: NoiseMode = "constant"
    ) -> Iterator[NDArray[np.uint8]]:
        """Those images, 16 at a time."""
        yield from self._painted(styles, seeds, noise, to_uint8)

    def floats(self, styles: Styles) -> NDArray[np.float32]:
        """The same under constant noise, not rounded or clipped: about 0 … 255."""
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
    """Apply a function of TensorFlow to rows, 16 at a time.

    It always gets 16, filled up.

    Args:
        function: Function of a batch of each column; it is traced.
        columns: Each with a row a sample, or without any rows.
    """
    traced = tf.function(function, autograph=False)
    for start in range(0, len(columns[0]), BATCH):
        parts = [column[start : start + BATCH] for column in columns]
        filled = (np.resize(part, (BATCH, *part.shape[1:])) for part in parts)
        yield traced(*map(tf.constant, filled)).numpy()[: len(parts[0])]
