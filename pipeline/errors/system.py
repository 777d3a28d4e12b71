"""Tell transient failures of a disk, volume or machine from those that a retry cannot help."""

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
"""Error numbers of failures for which the same command may succeed later, such as a full disk."""

# Error number of each result code of SQLite that may pass.
_SQLITE_ERRNOS = {
    sqlite3.SQLITE_FULL: (errno.ENOSPC,),
    sqlite3.SQLITE_IOERR: (errno.EIO,),
    sqlite3.SQLITE_READONLY: (errno.EROFS,),
}


def may_pass(error: BaseException) -> bool:
    """Return whether an error, or one that caused it, may pass if the same command is run again."""
    return any(number in MAY_PASS for number in _errnos(error))


def _errnos(error: BaseException | None) -> Iterator[int]:
    while error is not None:
        # Skip subclasses: libraries derive their own, whose numbers mean something else.
        if isinstance(error, OSError) and type(error) in (OSError, TimeoutError):
            yield from () if error.errno is None else (error.errno,)
        elif isinstance(error, sqlite3.OperationalError):  # from Dagster's databases
            yield from _SQLITE_ERRNOS.get(error.sqlite_errorcode & 0xFF, ())
        elif type(error).__module__.startswith("tensorflow."):
            yield from _tensorflow_errnos(getattr(error, "message", None) or "")
        error = error.__cause__ or getattr(error, "orig", None)  # SQLAlchemy's name of the cause


def _tensorflow_errnos(message: str) -> Iterator[int]:
    # Compare texts: an error of TensorFlow has no number, but its message ends with the system's
    # text for the number, and perhaps the operation, which is cut off here.
    text = re.sub(r" \[Op:\w+\].*", "", message, flags=re.DOTALL)
    for number in MAY_PASS:
        if any(line.endswith(os.strerror(number)) for line in text.splitlines()):
            yield number
