"""File locks between processes; the system releases them when their process ends, or is killed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# This module uses `flock` and not the library filelock, which opens lock files for writing: that
# fails for a folder, and for a file in another user's folder.
GLANCE = 1.0
"""Seconds to retry a lock that only `is_held` seems to hold: it takes a lock for a moment."""


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
    """Hold a lock during the block, which may remove the lock file at its end.

    Args:
        file: Lock file; the file and its folder are made if missing.
        wait: False to raise Busy if another process holds the lock.
        on_wait: Called once before a wait for another process.
        required: False to go on without a lock if the file system has none, as some network ones.

    Raises:
        Busy: if another process holds the lock, and `wait` is false.
        OSError: if the file cannot be written, or if `required` and the file system has no locks.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with file.open("a") as lock:
            if not _take_after_glances(lock.fileno(), required=required):
                if not wait:
                    raise Busy(str(file))
                on_wait()
                take_lock(lock.fileno(), required=required)
            # Try again if the last holder removed the file: others would lock a new one.
            if _is_at(file, lock.fileno()):
                yield
                return


def is_held(file: Path) -> bool:
    """Return True if a process holds a lock at this moment; write nothing."""
    try:
        with file.open() as lock:  # Read only: the folder may be another user's.
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
        # A shared lock succeeds beside the shared lock of `is_held`, but not beside a holder's.
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
