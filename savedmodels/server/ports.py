"""Sockets that listen, or one line that says why they cannot; quick to import."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from savedmodels.server.codes import Code, Refused


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens for as long as the block lasts.

    Args:
        host: Address of this machine.
        port: 0 for a free one.

    Raises:
        Refused: if it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise unusable(host, port, str(error)) from None
    with found:
        # Connections inherit it. asyncio sets it only for sockets that name their protocol, which
        # these do not; without it the body of an answer waits 40 ms behind its head.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield found


def require_free(host: str, *ports: int) -> None:
    """Refuse ports of which one is taken, or two are the same.

    Raises:
        Refused: if it is so, or the address is none of this machine.
    """
    with ExitStack() as opened:
        for port in ports:
            opened.enter_context(listening(host, port))


def unusable(host: str, port: int, error: str) -> Refused:
    """Return the refusal of a port at which a server cannot listen."""
    return Refused(
        Code.UNAVAILABLE, f"a port must be free to listen at. Received: {host}:{port} ({error})"
    )
