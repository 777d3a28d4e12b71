"""Pictures held in memory as one array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import PIL.Image

from pipeline.data.sources.source import Picture


@dataclass(frozen=True)
class Arrays:
    """A source of grey pictures in an array.

    Args:
        name: A short name.
        classes: Names of the classes, or empty.
        images: uint8 (count, height, width).
        labels: Indices into `classes` (count,), or None.
    """

    name: str
    classes: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Picture]:
        for index, image in enumerate(self.images):
            yield Picture(
                f"{self.name} number {index}",
                None if self.labels is None else int(self.labels[index]),
                image.tobytes,
                partial(PIL.Image.fromarray, image),
            )


def arrays_source(
    name: str, images: npt.NDArray[np.uint8], values: npt.NDArray[np.integer] | None
) -> Arrays:
    """A source of an array, whose classes are the distinct label values in rising order.

    Args:
        name: A short name.
        images: uint8 (count, height, width).
        values: Any integers (count,), or None for unlabelled.
    """
    if values is None:
        return Arrays(name, (), images, None)
    distinct, labels = np.unique(values, return_inverse=True)
    return Arrays(name, tuple(str(value) for value in distinct), images, labels.astype(np.int64))
