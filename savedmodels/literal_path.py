"""Let TensorFlow restore from folders whose path it would read as a glob pattern."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# TensorFlow reads `[v2]` as one of these characters, and a backslash as an escape.
SPECIAL = frozenset("[\\")


def is_literal(path: Path | str) -> bool:
    """Return True if a path, read as a glob pattern, matches itself."""
    return not SPECIAL & set(str(path))


@contextmanager
def literal(folder: Path) -> Iterator[Path]:
    """Yield a path to the same folder, valid in the block, that TensorFlow can restore from."""
    if is_literal(folder.absolute()):
        yield folder
        return
    # Use the path of an open descriptor, because RestoreV2 reads a checkpoint's path as a pattern.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
