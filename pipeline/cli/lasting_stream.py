"""Output that survives its reader: a closed pipe or a lost terminal does not end the work."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, TextIO

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
        # Under a bar it is rich's, which prints on the console again: without end, to ourselves.
        present: TextIO = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
        return self._given or present

    def write(self, text: str) -> int:
        """Write text, or drop it if the reader is gone."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop_if_gone(error)
            return len(text)

    def flush(self) -> None:
        """Write buffered text, or drop it if the reader is gone."""
        try:
            self._stream.flush()
        except OSError as error:
            self._drop_if_gone(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _drop_if_gone(self, error: OSError) -> None:
        # A full disk, for example, must still end the command.
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
