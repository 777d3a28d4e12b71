"""Listening sockets with one-line errors; `growgan serve` checks ports before TensorFlow loads."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from savedmodels.server.codes import Code, Refused


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens until the block ends; port 0 picks a free one.

    Raises:
        Refused: UNAVAILABLE if the port is taken, or `host` is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise unusable(host, port, str(error)) from None
    with server:
        # Set TCP_NODELAY, which connections inherit: without it an answer's body waits 40 ms after
        # its head. asyncio sets it only for sockets that name their protocol.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield server


def require_free(host: str, *ports: int) -> None:
    """Raise `Refused` if a port is taken, or two are the same."""
    with ExitStack() as opened:  # Open all at once, or equal ports would go unnoticed.
        for port in ports:
            opened.enter_context(listening(host, port))


def unusable(host: str, port: int, error: str) -> Refused:
    """Make the error for a port on which a server cannot listen."""
    return Refused(
        Code.UNAVAILABLE, f"a port must be free to listen at. Received: {host}:{port} ({error})"
    )
