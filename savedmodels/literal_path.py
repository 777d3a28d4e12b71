"""Folders whose paths TensorFlow would take for patterns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPECIAL = frozenset("[\\")
"""Characters by which a path, taken for a pattern, does not match itself: `[v2]` is one character,
and `\\` stands for nothing."""


def is_literal(path: Path | str) -> bool:
    """Return whether a path, taken for a pattern, matches itself."""
    return not SPECIAL & set(str(path))


@contextmanager
def literal(folder: Path) -> Iterator[Path]:
    """The same folder, by a path that TensorFlow can restore variables from.

    Its operation `RestoreV2` looks for the files of a checkpoint as for a pattern. A path of this
    process that ends with the block stands for one that would not match.

    Raises:
        OSError: if there is no such folder.
    """
    if is_literal(folder.absolute()):
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
