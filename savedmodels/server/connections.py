"""REST connections that are closed if the client sends no request or reads no answer."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 60.0
"""Seconds for a request's head to arrive, from the connection or the last answer on."""
UNREAD_SECONDS = 20.0
"""Seconds in which a client must read some more of an answer."""


class Connection(H11Protocol):
    """Connection with time limits on heads and on reading; uvicorn itself would wait for ever."""

    _timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

    # asyncio declares a more general transport than uvicorn uses.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit for the first head."""
        super().connection_made(transport)
        self._await_head()

    def on_response_complete(self) -> None:
        """Start the time limits for the next head, and for reading the answer."""
        super().on_response_complete()
        self._await_head()
        self._await_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limits."""
        for timer in (self._timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _await_reading(self) -> None:
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
            # `close` would wait until the client has read everything.
            self.transport.abort()

    def _unread(self) -> int:
        # The kernel's buffer counts too: a client that reads slowly empties it long before ours.
        kept = struct.pack("i", 0)
        connection = self.transport.get_extra_info("socket")
        [in_system] = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, kept))
        return self.transport.get_write_buffer_size() + int(in_system)

    def _await_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._end_unless_asked)

    def _end_unless_asked(self) -> None:
        # From its head on, a request has a time limit of its own.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
