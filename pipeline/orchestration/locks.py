"""Locks of a project: they end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


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
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise Busy(str(file)) from None
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_held(file: Path) -> bool:
    """Whether a process holds a lock at this moment; nothing is written."""
    try:
        with file.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
