"""Protocol of every source of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import PIL.Image


@dataclass(frozen=True)
class Picture:
    """One picture of a source, not read yet.

    Args:
        name: Name in messages: a path inside the source, or a file and a number.
        label: Index into the source's `classes`, or None.
        content: Reads the stored bytes, undecoded; they identify the picture. Raises OSError if
            they cannot be read.
        read: Reads and decodes the picture. Raises whatever its decoder raises.
    """

    name: str
    label: int | None
    content: Callable[[], bytes]
    read: Callable[[], PIL.Image.Image]


class Source(Protocol):
    """A set of pictures in a fixed order."""

    @property
    def name(self) -> str:
        """A short name for people, which need not be unique."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by index; empty when the pictures are not labelled."""

    @property
    def left_out(self) -> Mapping[str, int]:
        """Return the number of files beside the pictures, by the ends of their names: `.heic`."""

    def __len__(self) -> int:
        """Number of pictures, unreadable ones included."""

    def __getitem__(self, number: int) -> Picture:
        """The picture of that number, from 0."""

    def __iter__(self) -> Iterator[Picture]:
        """The pictures, in order."""
