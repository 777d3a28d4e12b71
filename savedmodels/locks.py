"""File locks: they end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# `flock`, because the library filelock opens locks to write: it could neither look at a lock in
# another user's folder nor lock a folder.
GLANCE = 1.0
"""Seconds after which `is_held`, which takes a lock to look at it, has surely let it go."""


class Busy(Exception):
    """Another process holds the lock."""


@contextmanager
def hold(
    file: Path,
    *,
    wait: bool = True,
    on_wait: Callable[[], None] = lambda: None,
    required: bool = True,
) -> Iterator[None]:
    """Hold a lock for a block, which may remove the file at its end.

    Args:
        file: Lock file; it is made, and its folder, if it is missing.
        wait: False to raise Busy if another process holds the lock.
        on_wait: Called before waiting.
        required: False to go on without a lock on file systems without locks, as some network ones.

    Raises:
        Busy: if another process holds the lock, and `wait` is false.
        OSError: if the file cannot be written, or the file system has no locks.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with file.open("a") as lock:
            if not _take_after_glances(lock.fileno(), required=required):
                if not wait:
                    raise Busy(str(file))
                on_wait()
                take_lock(lock.fileno(), required=required)
            # A file that its last holder has removed keeps nobody out any more.
            if _is_at(file, lock.fileno()):
                yield
                return


def is_held(file: Path) -> bool:
    """Return whether a process holds a lock at this moment; nothing is written."""
    try:
        with file.open() as lock:  # To read, as the folder may be another user's.
            return not _can_be_shared(lock.fileno())
    except FileNotFoundError:
        return False


def take_lock(descriptor: int, *, wait: bool = True, required: bool = True) -> bool:
    """Lock an open file or folder until its descriptor is closed.

    Returns:
        False if another process holds the lock and `wait` is false; True without a lock if it is
        not `required` and the file system has none.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        if required:
            raise
    return True


def _take_after_glances(descriptor: int, *, required: bool) -> bool:
    end = time.monotonic() + GLANCE
    while not take_lock(descriptor, wait=False, required=required):
        # A glance is a shared lock, so one beside it means that nobody holds the lock.
        if time.monotonic() >= end or not _can_be_shared(descriptor):
            return False
        time.sleep(0.02)
    return True


def _can_be_shared(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _is_at(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
