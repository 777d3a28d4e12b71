"""Source of pictures: numbered, in a fixed order, each read when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import PIL.Image


@dataclass(frozen=True)
class Picture:
    """Picture of a source, not read yet.

    Args:
        name: Name for messages: a path in the source, or a file and a number.
        label: Index into the source's `classes`, or None.
        content: Function that reads the stored bytes, which identify the picture; raises OSError.
        read: Function that reads and decodes the picture; raises any error of its decoder.
    """

    name: str
    label: int | None
    content: Callable[[], bytes]
    read: Callable[[], PIL.Image.Image]


@dataclass(frozen=True)
class Source:
    """Pictures 0, 1, 2, and so on, some maybe unreadable.

    Args:
        name: Short name for readers; need not be unique.
        count: Number of pictures, with unreadable ones.
        content: Function that returns the stored bytes of a picture; raises OSError.
        read: Function that decodes a picture.
        classes: Names of the classes, by index; empty without labels.
        labels: Indices into `classes`, (count,), negative for pictures without a label; None if
            all are unlabelled.
        named: Function that returns the name of a picture; None to number them.
        left_out: Number of files that are not read, by extension such as `.heic`.
    """

    name: str
    count: int
    content: Callable[[int], bytes]
    read: Callable[[int], PIL.Image.Image]
    classes: tuple[str, ...] = ()
    labels: npt.NDArray[np.int64] | None = None
    named: Callable[[int], str] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.count

    # By number, so that no process holds a list of all pictures.
    def __getitem__(self, number: int) -> Picture:
        label = -1 if self.labels is None else int(self.labels[number])
        return Picture(
            f"{self.name} number {number}" if self.named is None else self.named(number),
            None if label < 0 else label,
            partial(self.content, number),
            partial(self.read, number),
        )

    def __iter__(self) -> Iterator[Picture]:
        return map(self.__getitem__, range(self.count))
