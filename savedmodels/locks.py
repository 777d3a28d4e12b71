"""File locks: they end with the process that holds them, however it ends.

They are `flock`, and not the library filelock, which takes exclusive locks alone and opens them to
write: it could neither look at a lock in a folder that is not ours nor lock a folder.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

GLANCE = 1.0
"""Seconds within which a lock is free again that `is_held` has only looked at."""


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
        wait: Whether to wait for another process that holds the lock.
        on_wait: Called before waiting.
        required: Whether to fail where the file system has no locks, as some network ones.

    Raises:
        Busy: if another process holds the lock, and `wait` is false.
        OSError: if the file cannot be written, or a required lock is not to be had.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with file.open("a") as lock:
            if not _take_after_glances(lock.fileno(), required=required):
                if not wait:
                    raise Busy(str(file))
                on_wait()
                take(lock.fileno(), required=required)
            # A file that its last holder has removed keeps nobody out any more.
            if _is_at(file, lock.fileno()):
                yield
                return


def is_held(file: Path) -> bool:
    """Return whether a process holds a lock at this moment; nothing is written."""
    try:
        with file.open() as lock:
            return not _can_be_shared(lock.fileno())
    except FileNotFoundError:
        return False


def take(descriptor: int, *, wait: bool = True, required: bool = True) -> bool:
    """Lock an open file or folder until its descriptor is closed.

    Args:
        descriptor: Descriptor of the file or folder.
        wait: Whether to wait for another process that holds the lock.
        required: Whether to fail where the file system has no locks, as some network ones.

    Returns:
        Whether nobody else holds the lock, as far as can be known.

    Raises:
        OSError: if a required lock is not to be had.
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
    """Take a lock that no process holds, though some may be looking at it."""
    end = time.monotonic() + GLANCE
    while not take(descriptor, wait=False, required=required):
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
