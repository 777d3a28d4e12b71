"""Protocol of sources of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

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


class Source(Protocol):
    """Pictures in a fixed order, some maybe unreadable."""

    @property
    def name(self) -> str:
        """Short name for readers; need not be unique."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by index; empty without labels."""

    @property
    def left_out(self) -> Mapping[str, int]:
        """Number of files that are not read, by extension such as `.heic`."""

    def __len__(self) -> int:
        """Return the number of pictures, with unreadable ones."""

    def __getitem__(self, number: int) -> Picture:
        """Return the picture of a number, from 0."""

    def __iter__(self) -> Iterator[Picture]:
        """Iterate over the pictures in order."""
