"""Connections of the REST server, closed if the client sends no request or reads no answer."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 60.0
"""Seconds for a request's head (request line and headers) to arrive, counted from the opening of
the connection or the end of the last answer."""
UNREAD_SECONDS = 20.0  # Seconds in which a client must read at least some more of an answer.


class Connection(H11Protocol):
    """HTTP connection with time limits that uvicorn lacks: for heads and for reading answers."""

    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

    # asyncio declares a more general transport than uvicorn uses.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit for the first request's head."""
        super().connection_made(transport)
        self._limit_head()

    def on_response_complete(self) -> None:
        """Start the time limits for the next request's head and for reading this answer."""
        super().on_response_complete()
        self._limit_head()
        self._limit_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limits."""
        for timer in (self._head_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _limit_reading(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
        self._unread_timer = None
        if self.transport.get_write_buffer_size():
            self._unread_timer = self.loop.call_later(
                UNREAD_SECONDS, self._abort_unless_read, self._unread()
            )

    def _abort_unless_read(self, before: int) -> None:
        if not self.transport.get_write_buffer_size() or self._unread() < before:
            self._limit_reading()
        else:
            # Not `close`, which would wait until the client has read everything.
            self.transport.abort()

    def _unread(self) -> int:
        """Return the bytes of answers that the client has not read: asyncio's and the kernel's."""
        # Count the kernel's buffer too: a slow client empties it long before asyncio's shrinks.
        result = struct.pack("i", 0)
        connection = self.transport.get_extra_info("socket")
        [in_kernel] = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, result))
        return self.transport.get_write_buffer_size() + int(in_kernel)

    def _limit_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        # Leave a request in progress alone: it has its own time limit from its head on.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
