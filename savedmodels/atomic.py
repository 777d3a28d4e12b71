"""Write and remove files and folders whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from savedmodels import locks

_REMAINS = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def sync(path: Path) -> None:
    """Wait until a file's content or a folder's entries are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file, or keep the old one and raise OSError; no temporary file is left behind."""
    with _temporary(path, Path.touch) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        # Content before name: after a power cut the name must not lead to an empty file.
        sync(temporary)
        os.replace(temporary, path)
    sync(path.parent)  # A name is on the disk only once its folder is.


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends, or vanishes if it raises.

    Raises:
        FileExistsError: if `path` exists, before the block or when it ends.
        OSError: if it cannot be written.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    make_folder(path.parent)
    with _temporary(path, Path.mkdir) as temporary:
        yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        sync(temporary)
        # A rename would replace an empty folder without a word.
        if path.exists():
            raise FileExistsError(f"{path} exists already")
        try:
            os.rename(temporary, path)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:  # Another process was quicker by a moment.
                raise FileExistsError(f"{path} exists already") from None
            raise
    sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it; each new one's name is on the disk before this returns."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder so that no part of it is ever found under its name.

    Raises:
        OSError: if it cannot be removed; a part may stay under a temporary name.
    """
    temporary = _name_beside(path)
    os.rename(path, temporary)
    sync(path.parent)
    shutil.rmtree(temporary)


def remove_remains(
    folder: Path, which: Callable[[Path], bool] = lambda _: True, *, deep: bool = True
) -> None:
    """Remove the temporary files and folders that killed processes left behind.

    A living process keeps what it is writing if the file system has locks.

    Args:
        folder: Folder to look in.
        which: Function that picks by path what may be removed where the file system has no locks.
        deep: False to look in the folder itself only, and not at any depth.
    """
    for path in list(folder.rglob(".*.tmp") if deep else folder.glob(".*.tmp")):
        if is_remains(path) and which(path):
            # It was in another one that is removed by now, or is another user's.
            with contextlib.suppress(OSError):
                _remove_abandoned(path)


def is_remains(path: Path) -> bool:
    """Return whether a file or folder has a temporary name."""
    return bool(_REMAINS.fullmatch(path.name))


@contextmanager
def _temporary(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Make a temporary file or folder beside a path, locked as long as its maker lives."""
    descriptor = None
    while descriptor is None:
        temporary = _name_beside(path)
        make(temporary)
        descriptor = _locked(temporary)
    try:
        yield temporary
    except BaseException:
        _remove(temporary)
        raise
    finally:
        os.close(descriptor)


def _locked(temporary: Path) -> int | None:
    # None if another process removed it as abandoned, before it had its lock.
    try:
        descriptor = os.open(temporary, os.O_RDONLY)
    except FileNotFoundError:
        return None
    # Not required: without locks it is still written, only less safe from other cleaners.
    locks.take_lock(descriptor, required=False)
    if temporary.exists():
        return descriptor
    os.close(descriptor)
    return None


def _remove_abandoned(temporary: Path) -> None:
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        if locks.take_lock(descriptor, wait=False, required=False):
            _remove(temporary)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _name_beside(path: Path) -> Path:
    # A leading dot, and no bare number: no watcher of versions takes it for a finished one.
    return path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
