"""Output streams that drop text if the pipe is closed or the terminal lost; work continues."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, TextIO

GONE = (errno.EPIPE, errno.EIO)
"""Error numbers of writes to a closed pipe (`| head`) or a lost terminal."""


class LastingStream:
    """Text stream that drops output once its reader is gone.

    Args:
        stream: Stream to write to, or None for `sys.stdout`, looked up at each write.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._given = stream

    @property
    def _stream(self) -> TextIO:
        # Look up each time: a stream kept from the start may be closed by now. While a bar shows,
        # rich replaces `sys.stdout` by a proxy that prints to us: unwrap it, or recurse for ever.
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
        # Other errors, such as a full disk, still end the command.
        if error.errno not in GONE:
            raise error
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())  # Python flushes again at exit.
        os.close(nothing)


def open_closed_streams() -> None:
    """Open closed standard streams (`2>&-`) on /dev/null, so that no file gets their descriptor."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # Gets the lowest free descriptor: `number`.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # Python found it closed at start-up.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
