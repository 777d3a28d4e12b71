"""Failures of a disk, volume or machine that may pass if the same is tried again."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator

MAY_PASS = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    }
)
"""Error numbers that pass without a change of the command, such as once there is room."""


_OF_SQLITE = {
    sqlite3.SQLITE_FULL: (errno.ENOSPC,),
    sqlite3.SQLITE_IOERR: (errno.EIO,),
    sqlite3.SQLITE_READONLY: (errno.EROFS,),
}


def may_pass(error: BaseException) -> bool:
    """Return true if an error, or one that caused it, may pass if the same is tried again."""
    return any(number in MAY_PASS for number in _numbers(error))


def _numbers(error: BaseException | None) -> Iterator[int]:
    while error is not None:
        # Libraries have kinds of their own, with other numbers, as for certificates.
        if isinstance(error, OSError) and type(error) in (OSError, TimeoutError):
            yield from () if error.errno is None else (error.errno,)
        elif isinstance(error, sqlite3.OperationalError):  # Of Dagster's databases.
            yield from _OF_SQLITE.get(error.sqlite_errorcode & 0xFF, ())
        elif type(error).__module__.startswith("tensorflow."):
            yield from _numbers_of_tensorflow(getattr(error, "message", None) or "")
        error = error.__cause__ or getattr(error, "orig", None)  # SQLAlchemy's own word for it.


def _numbers_of_tensorflow(message: str) -> Iterator[int]:
    # TensorFlow's errors have no number, but end with the system's words for it, and the operation.
    words = re.sub(r" \[Op:\w+\].*", "", message, flags=re.DOTALL)
    for number in MAY_PASS:
        if any(line.endswith(os.strerror(number)) for line in words.splitlines()):
            yield number
