"""The images that a generator is measured by: those of the seeds from 0 on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.data.conversion import UNLABELLED
from pipeline.evaluation.features.network import Images
from pipeline.sampling.painter import Painter

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fakes:
    """Image n is that of seed n, and of label n for a labelled generator.

    Args:
        painter: Painter of an average generator.
        count: Number of images.
        labels: `(count,)`, the number of each one's class; None for a generator without labels.
        noise: The generator's own, or, for one with styles, drawn by seed.
    """

    painter: Painter
    count: int
    labels: Labels | None = None
    noise: Literal["constant", "random"] = "constant"

    def batches(self, count: int | None = None) -> Iterator[Images]:
        """The first ones, or all, in order: uint8 `(n, height, width, channels)` each."""
        return self._of(range(self.count if count is None else count))

    def at(self, numbers: Sequence[int]) -> Images:
        """Some of them: uint8 `(numbers, height, width, channels)`."""
        return np.concatenate(list(self._of(numbers)))

    def of_latents(self, latents: npt.NDArray[Any], numbers: slice) -> npt.NDArray[np.float32]:
        """Images of latents `(n, size)`, not rounded: floats about 0 … 255.

        Args:
            latents: One for each image.
            numbers: Numbers of the images, whose labels they have.
        """
        inputs: Any = latents.astype(np.float32)
        generator = self.painter.sampler.model
        if self.labels is not None:
            classes = generator.inputs[1].shape[-1]
            inputs = [inputs, np.eye(classes, dtype=np.float32)[self.labels[numbers]]]
        images = generator.predict_on_batch(inputs)
        return np.asarray(images * 127.5 + 127.5, np.float32)

    def _of(self, numbers: Sequence[int]) -> Iterator[Images]:
        labels = () if self.labels is None else self.labels[list(numbers)].tolist()
        return self.painter.of_seeds(numbers, labels, self.noise)


def labels_like(reals: Labels, count: int, *, seed: int) -> Labels:
    """Labels drawn from those of real images that have one, with their frequencies: `(count,)`.

    Args:
        reals: Labels of every real image.
        count: Number of labels; the first ones do not depend on it.
        seed: Seed of the draws.
    """
    reals = reals[reals != UNLABELLED]
    places = np.random.default_rng(seed).integers(len(reals), size=count)
    return reals[places]
