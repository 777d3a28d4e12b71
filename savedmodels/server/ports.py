"""Open listening sockets, with one-line errors; quick to import."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from savedmodels.server.codes import Code, Refused


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens until the block ends; port 0 picks a free one.

    Raises:
        Refused: if the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise unusable(host, port, str(error)) from None
    with found:
        # Without it the body of an answer waits 40 ms after its head. Connections inherit it;
        # asyncio would set it only for sockets that name their protocol.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield found


def require_free(host: str, *ports: int) -> None:
    """Refuse if a port is taken, or two are the same."""
    with ExitStack() as opened:  # All are open at once, or equal ports would go unnoticed.
        for port in ports:
            opened.enter_context(listening(host, port))


def unusable(host: str, port: int, error: str) -> Refused:
    """Make the error for a port on which a server cannot listen."""
    return Refused(
        Code.UNAVAILABLE, f"a port must be free to listen at. Received: {host}:{port} ({error})"
    )
