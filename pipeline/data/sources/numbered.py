"""Source of numbered pictures: in an array, in records, drawn, or in a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import PIL.Image

from pipeline.data.sources.source import Picture


@dataclass(frozen=True)
class Numbered:
    """Source of the pictures 0, 1, 2, and so on.

    Args:
        name: Short name of the source.
        count: Number of pictures.
        content: Function that returns the stored bytes of a picture; raises OSError.
        read: Function that decodes a picture.
        classes: Names of the classes; empty without classes.
        labels: Indices into `classes`, (count,), negative for pictures without a label; None if
            all are unlabelled.
    """

    name: str
    count: int
    content: Callable[[int], bytes]
    read: Callable[[int], PIL.Image.Image]
    classes: tuple[str, ...] = ()
    labels: npt.NDArray[np.int64] | None = None

    @property
    def left_out(self) -> Mapping[str, int]:
        """Number of other files by extension: none, because other files belong to the set."""
        return {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Picture:
        label = -1 if self.labels is None else int(self.labels[number])
        return Picture(
            f"{self.name} number {number}",
            None if label < 0 else label,
            partial(self.content, number),
            partial(self.read, number),
        )

    def __iter__(self) -> Iterator[Picture]:
        return map(self.__getitem__, range(self.count))
