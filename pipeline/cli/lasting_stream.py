"""Output that survives its reader: a closed pipe or a lost terminal does not end the work."""

from __future__ import annotations

import errno
import os
import sys
from typing import TextIO

GONE = (errno.EPIPE, errno.EIO)
"""Error numbers of a write after `| head` has closed the pipe, or the terminal is lost."""


class LastingStream:
    """Text stream that drops output once its reader is gone.

    Args:
        stream: Stream to write to, or None for `sys.stdout`, looked up at each write.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._given = stream

    @property
    def _stream(self) -> TextIO:
        # Looked up each time: a stream kept from the start may be closed by now.
        return self._given or sys.stdout

    def write(self, text: str) -> int:
        """Write text, or drop it if the reader is gone.

        Raises:
            OSError: if it cannot be written for another reason, such as a full disk.
        """
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop_if_gone(error)
            return len(text)

    def flush(self) -> None:
        """Write buffered text.

        Raises:
            OSError: as `write`.
        """
        try:
            self._stream.flush()
        except OSError as error:
            self._drop_if_gone(error)

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._stream.isatty()

    @property
    def encoding(self) -> str:
        """Return the name of the encoding, such as `utf-8`."""
        return self._stream.encoding

    def _drop_if_gone(self, error: OSError) -> None:
        if error.errno not in GONE:
            raise error
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())  # Python flushes it again at exit.
        os.close(nothing)


def open_closed_streams() -> None:
    """Open standard streams that are closed (`2>&-`); a file could get their number and output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The system gives the lowest free number.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # Python found it closed; `print` would use the other.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
