"""Connections of the REST API, of which none is held by a client that asks nothing."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 60.0
"""In which the head of a request has to be there, from the last answer or the connection on."""

UNREAD_SECONDS = 20.0
"""In which a client has to read some of what is left of an answer."""


class Connection(H11Protocol):
    """One that is closed when a head does not come; uvicorn itself waits for half a head for ever.

    Once a head is there the request has a time limit of its own.
    """

    _timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

    # asyncio promises less of a transport than uvicorn, whose own method needs the same excuse.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def on_response_complete(self) -> None:
        """Wait for the next head, and for the answer to be read."""
        super().on_response_complete()
        self._await_head()
        self._await_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        for timer in (self._timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _await_reading(self) -> None:
        """Let go of an answer of which nothing is read: closing alone would wait for its reader."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
        self._unread_timer = None
        if self.transport.get_write_buffer_size():
            self._unread_timer = self.loop.call_later(
                UNREAD_SECONDS, self._end_unless_read, self._unread()
            )

    def _end_unless_read(self, before: int) -> None:
        if not self.transport.get_write_buffer_size() or self._unread() < before:
            self._await_reading()
        else:
            self.transport.abort()

    def _unread(self) -> int:
        """Bytes of answers that the client has not received, here and in the system's keeping."""
        kept = struct.pack("i", 0)
        connection = self.transport.get_extra_info("socket")
        [in_system] = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, kept))
        return self.transport.get_write_buffer_size() + int(in_system)

    def _await_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._end_unless_asked)

    def _end_unless_asked(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
