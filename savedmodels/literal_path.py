"""Paths that TensorFlow would read as glob patterns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# `[v2]` would match one character, and a backslash escapes the next one.
SPECIAL = frozenset("[\\")


def is_literal(path: Path | str) -> bool:
    """Return whether a path, read as a pattern, matches itself."""
    return not SPECIAL & set(str(path))


@contextmanager
def literal(folder: Path) -> Iterator[Path]:
    """Yield a path of the same folder, valid in the block, that TensorFlow can restore from."""
    if is_literal(folder.absolute()):
        yield folder
        return
    # The operation RestoreV2 reads a checkpoint's path as a pattern: here is one without a name.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
