"""Files and folders that appear, and vanish, whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_REMAINS = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


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
    make_folder(path.parent)
    temporary = _temporary_beside(path)
    temporary.mkdir()
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


def make_folder(path: Path) -> None:
    """Make a folder, and those above it; each new one's name is on the disk before this returns.

    Raises:
        OSError: if one cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder so that no part of it is ever found under its name.

    Raises:
        OSError: if it cannot be removed; a part may stay under a temporary name.
    """
    temporary = _temporary_beside(path)
    os.rename(path, temporary)
    sync(path.parent)
    shutil.rmtree(temporary)


def remove_remains(
    folder: Path, which: Callable[[Path], bool] = lambda _: True, *, deep: bool = True
) -> None:
    """Remove the temporary files and folders that killed processes left behind.

    Args:
        folder: Where to look.
        which: Those that no living process may be writing, by path.
        deep: At any depth, or in the folder itself alone.
    """
    for path in list(folder.rglob(".*.tmp") if deep else folder.glob(".*.tmp")):
        if is_remains(path) and which(path):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def is_remains(path: Path) -> bool:
    """Whether the name is one that a file or folder bears before it is whole."""
    return bool(_REMAINS.fullmatch(path.name))


def _temporary_beside(path: Path) -> Path:
    # A leading dot, and no bare number: no watcher of versions takes it for a finished one.
    return path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
