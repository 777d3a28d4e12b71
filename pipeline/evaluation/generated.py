"""Generated images that an evaluation measures, made from the seeds from 0 on."""

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
class GeneratedImages:
    """Generated images by number: image n has seed n and, if the generator has labels, `labels[n]`.

    Args:
        painter: Painter with the EMA generator.
        count: Number of images.
        labels: Class of each image, `(count,)`; None for a generator without labels.
        noise: Noise mode of a generator with styles: the same for all images, or drawn by seed.
    """

    painter: Painter
    count: int
    labels: Labels | None = None
    noise: Literal["constant", "random"] = "constant"

    def batches(self, count: int | None = None) -> Iterator[Images]:
        """Yield the first `count` images, or all, as uint8 `(n, height, width, channels)`."""
        return self._paint(range(self.count if count is None else count))

    def at(self, numbers: Sequence[int]) -> Images:
        """Make the images with these numbers: uint8 `(numbers, height, width, channels)`."""
        return np.concatenate(list(self._paint(numbers)))

    def labels_at(self, numbers: Sequence[int]) -> Sequence[int]:
        """Return the labels of the images with these numbers; empty for unlabelled generators."""
        return () if self.labels is None else self.labels[list(numbers)].tolist()

    def of_latents(self, latents: npt.NDArray[Any], numbers: slice) -> npt.NDArray[np.float32]:
        """Make images from latents `(n, size)`, as floats of about 0 to 255.

        In a labelled run they get the labels `self.labels[numbers]`.
        """
        inputs: Any = latents.astype(np.float32)
        generator = self.painter.sampler.model
        if self.labels is not None:
            classes = generator.inputs[1].shape[-1]
            inputs = [inputs, np.eye(classes, dtype=np.float32)[self.labels[numbers]]]
        images = generator.predict_on_batch(inputs)
        # Do not round: path lengths measure changes below one level of 255.
        return np.asarray(images * 127.5 + 127.5, np.float32)

    def _paint(self, numbers: Sequence[int]) -> Iterator[Images]:
        return self.painter.of_seeds(numbers, self.labels_at(numbers), self.noise)


def labels_like(reals: Labels, count: int, *, seed: int) -> Labels:
    """Draw labels, `(count,)`, with the class frequencies of the real images that have a label."""
    reals = reals[reals != UNLABELLED]
    # Draw one number per label in order, so that a larger `count` keeps the first labels.
    indices = np.random.default_rng(seed).integers(len(reals), size=count)
    return reals[indices]
