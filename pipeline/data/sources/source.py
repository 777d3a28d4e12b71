"""Sequence of pictures that every reader in this folder returns, each read when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import PIL.Image


@dataclass(frozen=True)
class Picture:
    """One picture of a source, with functions that read it."""

    name: str  # Name for messages: a path in the source, or the source's name and an index
    label: int | None  # Index into the source's `classes`, or None without a label
    content: Callable[[], bytes]
    """Function that returns the bytes to hash as the picture's identity; raises OSError."""
    read: Callable[[], PIL.Image.Image]
    """Function that reads and decodes the picture; raises any error of its decoder."""


@dataclass(frozen=True)
class Source:
    """Read-only sequence of pictures, of which some may be unreadable."""

    name: str  # Short name for people; need not be unique
    count: int  # Number of pictures, including unreadable ones
    content: Callable[[int], bytes]  # Function from a picture's index to its `Picture.content`.
    read: Callable[[int], PIL.Image.Image]  # Function from a picture's index to the decoded picture
    classes: tuple[str, ...] = ()  # Names of the classes, by index; empty without labels
    labels: npt.NDArray[np.int64] | None = None
    """Indices into `classes`, (count,), negative without a label; None if all are unlabelled."""
    name_of: Callable[[int], str] | None = None
    """Function from a picture's index to its name; None to name it by its index."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Number of files that are not read, by extension such as `.heic`."""

    def __len__(self) -> int:
        return self.count

    # Make each picture on request, so that no process holds a list of all.
    def __getitem__(self, index: int) -> Picture:
        label = -1 if self.labels is None else int(self.labels[index])
        return Picture(
            f"{self.name} number {index}" if self.name_of is None else self.name_of(index),
            None if label < 0 else label,
            partial(self.content, index),
            partial(self.read, index),
        )

    def __iter__(self) -> Iterator[Picture]:
        return map(self.__getitem__, range(self.count))
