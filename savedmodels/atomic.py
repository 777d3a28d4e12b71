"""Files and folders that appear whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file's content or a folder's entries are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file, or leave what stood there.

    Raises:
        OSError: if it cannot be written; no temporary file is left behind.
    """
    temporary = _temporary_beside(path)
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends, or vanishes when it raises.

    Raises:
        FileExistsError: if `path` exists, before the block or when it ends.
        OSError: if it cannot be written.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    temporary = _temporary_beside(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        sync(temporary)
        if path.exists():
            raise FileExistsError(f"{path} exists already")
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync(path.parent)


def _temporary_beside(path: Path) -> Path:
    # A leading dot, and no bare number: no watcher of versions takes it for a finished one.
    return path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
