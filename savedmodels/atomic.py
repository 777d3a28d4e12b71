"""Write and remove files and folders atomically: under a temporary name, then fsync and rename.

A temporary file or folder is locked while its process lives, so that `remove_remains` can tell it
from what a killed process left behind.
"""

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

_TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file, or keep the old one and raise OSError; remove the temporary file."""
    with _temporary(path, Path.touch) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        # Sync the content before the rename: a power cut must not leave an empty file of this name.
        sync(temporary)
        os.replace(temporary, path)
    sync(path.parent)  # A new name is safe only once its folder is on the disk.


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends, or vanishes if it raises.

    Raises:
        FileExistsError: if `path` exists, before the block or when it ends.
        OSError: if the folder cannot be written.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    make_folder(path.parent)
    with _temporary(path, Path.mkdir) as temporary:
        yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        sync(temporary)
        # Check again: a rename would silently replace an empty folder.
        if path.exists():
            raise FileExistsError(f"{path} exists already")
        try:
            os.rename(temporary, path)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:  # Another process made it first.
                raise FileExistsError(f"{path} exists already") from None
            raise
    sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, and wait until their names are on the disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def remove_folder(path: Path) -> None:
    """Rename a folder, then remove it, so that its name never leads to an incomplete folder.

    Raises:
        OSError: if the folder cannot be removed; a part may stay under a temporary name.
    """
    temporary = _name_beside(path)
    os.rename(path, temporary)
    sync(path.parent)
    shutil.rmtree(temporary)


def remove_remains(
    folder: Path, which: Callable[[Path], bool] = lambda _: True, *, deep: bool = True
) -> None:
    """Remove the temporary files and folders that killed processes left behind.

    If the file system has locks, files that a living process is writing are kept.

    Args:
        folder: Folder to look in.
        which: Function that returns True for each path to remove if it is abandoned. On a file
            system without locks, all that are picked count as abandoned.
        deep: True to look at any depth, False in the folder itself only.
    """
    for path in list(folder.rglob(".*.tmp") if deep else folder.glob(".*.tmp")):
        if is_remains(path) and which(path):
            # Skip what another user owns, or what vanished together with its parent folder.
            with contextlib.suppress(OSError):
                _remove_abandoned(path)


def is_remains(path: Path) -> bool:
    """Return True if a file or folder has a temporary name, as made by this module."""
    return bool(_TEMPORARY_NAME.fullmatch(path.name))


@contextmanager
def _temporary(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Make a temporary file or folder beside a path, locked while this process writes it."""
    descriptor = None
    while descriptor is None:
        temporary = _name_beside(path)
        make(temporary)
        descriptor = _open_locked(temporary)
    try:
        yield temporary
    except BaseException:
        _remove(temporary)
        raise
    finally:
        os.close(descriptor)


def _open_locked(temporary: Path) -> int | None:
    # Return None if another process removed it as abandoned before this one had locked it.
    try:
        descriptor = os.open(temporary, os.O_RDONLY)
    except FileNotFoundError:
        return None
    # Go on without a lock where there are none: the file is then only less safe from cleaners.
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
    # Start with a dot: a server that watches for version folders must not load it.
    return path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
