"""Paths that TensorFlow would read as glob patterns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPECIAL = frozenset("[\\")
"""Characters with which a path, read as a pattern, does not match itself: `[v2]` matches one
character, and `\\` escapes the next one."""


def is_literal(path: Path | str) -> bool:
    """Return whether a path, read as a pattern, matches itself."""
    return not SPECIAL & set(str(path))


@contextmanager
def literal(folder: Path) -> Iterator[Path]:
    """Yield a path of the same folder from which TensorFlow can restore variables.

    The operation `RestoreV2` reads a checkpoint's path as a pattern. A path with special characters
    is replaced by one below `/proc/self/fd`, valid until the block ends.

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
