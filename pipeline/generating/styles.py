"""Images of styles: truncated, mixed, under one kind of noise or another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.generating.drawing import NoiseMode
from pipeline.generating.images import in_batches, inputs_of, require_styles
from pipeline.run_folder import Restored, RunFolder
from pipeline.training.loop.checkpoints import Checkpoint
from savedmodels.seeds import to_uint8

Styles = NDArray[np.float32]
"""`(images, layers, style_size)`."""


class Painter:
    """Styles of seeds, and images of styles.

    A style is a function of the weights, its seed and its label alone, and an image of the weights,
    its styles, the noise mode and, where noise is random, its seed.

    Args:
        average: A generator with styles.
    """

    def __init__(self, average: Restored) -> None:
        network, model, phase = average
        self._mapping = network.mapping()
        self._synthesis = network.synthesis(phase.resolution, fading=phase.fading)
        self._truncation = network.truncation
        self._fixed = [
            model.get_layer(f"{network.name}_{name}").map.numpy()
            for name in network.noise_shapes(phase.resolution)
        ]
        self.layers: int = network.layers(phase.resolution)

    def styles(self, seeds: Sequence[int], labels: Sequence[int] = ()) -> Styles:
        """The styles of seeds, the same for each layer.

        Args:
            seeds: Not negative, at least one.
            labels: The number of each seed's class, for a labelled network.
        """

        @tf.function(autograph=False)
        def styles(seeds: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            return self._mapping(inputs_of(self._mapping, seeds, labels), training=False)

        columns = (np.asarray(column, np.int64) for column in (seeds, labels))
        found = np.concatenate(list(in_batches(styles, *columns)))
        # A view: many seeds of a large network would fill the memory with equal numbers.
        shape = (len(found), self.layers, found.shape[-1])
        return np.broadcast_to(found[:, np.newaxis], shape)

    def truncated(self, styles: Styles, psi: float, cutoff: int | None = None) -> Styles:
        """Styles drawn towards their mean, which they are at psi = 0.

        Args:
            styles: Styles to draw.
            psi: Share of their distance to the mean that is left.
            cutoff: Number of layers to truncate, the first ones; None for all.
        """
        return np.asarray(self._truncation(styles, psi=psi, cutoff=cutoff), np.float32)

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
        self, styles: Styles, seeds: Sequence[int], noise: NoiseMode, finish: Any
    ) -> Iterator[Any]:
        @tf.function(autograph=False)
        def painted(styles: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
            maps = [_noise(noise, seeds, number, each) for number, each in enumerate(self._fixed)]
            return finish(self._synthesis([styles, *maps] if maps else styles, training=False))

        yield from in_batches(painted, styles, np.asarray(seeds, np.int64))


def _noise(mode: NoiseMode, seeds: Any, number: int, fixed: Any) -> Any:
    """Map `number` of each image, of the shape of the fixed one."""
    count = seeds.shape[0]
    if mode == "constant":
        return tf.repeat(tf.convert_to_tensor(fixed)[tf.newaxis], count, axis=0)
    if mode == "none":
        return tf.zeros((count, *fixed.shape))

    def one(seed: Any) -> Any:
        # The second number is 0 where latents are drawn.
        pair = tf.stack([seed, tf.constant(1 + number, tf.int64)])
        return tf.random.stateless_normal(fixed.shape, pair)

    return tf.map_fn(one, seeds, fn_output_signature=tf.TensorSpec(fixed.shape, tf.float32))


def painter_of(run: RunFolder, checkpoint: Checkpoint) -> Painter:
    """The painter of a run's average, as it stands in a checkpoint.

    Raises:
        UserError: if the run's family has no styles.
    """
    require_styles(run)
    return Painter(run.restored_average(checkpoint))
