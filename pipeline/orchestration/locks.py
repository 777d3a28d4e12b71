"""Locks of a project: they end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

GLANCE = 1.0
"""Seconds within which a lock is free again that `is_held` has only looked at."""


class Busy(Exception):
    """Another process holds the lock."""


@contextmanager
def held(
    file: Path, *, wait: bool = True, on_wait: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold a lock for a block.

    Args:
        file: The lock; its folder is made if it is missing.
        wait: Whether to wait for another process that holds it.
        on_wait: Called before that.

    Raises:
        Busy: if another process holds it, and is not to be waited for.
        OSError: if the file cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        if not _is_taken_soon(lock):
            if not wait:
                raise Busy(str(file))
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_held(file: Path) -> bool:
    """Return whether a process holds a lock at this moment; nothing is written."""
    try:
        with file.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _is_taken_soon(lock: IO[str]) -> bool:
    end = time.monotonic() + GLANCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)
