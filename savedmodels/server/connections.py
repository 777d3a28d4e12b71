"""Connections of the REST API, of which none is held by a client that asks nothing."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 60.0
"""In which the head of a request has to be there, from the last answer or the connection on."""


class Connection(H11Protocol):
    """One that is closed when a head does not come; uvicorn itself waits for half a head for ever.

    Once a head is there the request has a time limit of its own.
    """

    _timer: asyncio.TimerHandle | None = None

    # asyncio promises less of a transport than uvicorn, whose own method needs the same excuse.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        super().on_response_complete()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._end_unless_asked)

    def _end_unless_asked(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
