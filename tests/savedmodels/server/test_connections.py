"""A connection without a whole head or a reader ends; one whose answer takes long does not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn

from savedmodels.server import connections

LARGE = bytes(20 * 2**20)
"""More than the system takes from a server for a client that does not read."""


@pytest.fixture(name="address")
def _address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Yield the address of a server that answers after some time, or at once with much."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.3)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/large":
            size = [(b"content-length", b"%d" % len(LARGE))]
            await send({"type": "http.response.start", "status": 200, "headers": size})
            await send({"type": "http.response.body", "body": LARGE})
            return
        await asyncio.sleep(1)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(app, http=connections.Connection, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(address: tuple[str, int], sent: bytes) -> None:
    with closing(socket.create_connection(address, timeout=60)) as client:
        client.sendall(sent)
        assert client.recv(1) == b""


def test_an_answer_may_take_longer_and_the_next_head_is_waited_for(
    address: tuple[str, int],
) -> None:
    with closing(socket.create_connection(address, timeout=60)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while part := client.recv(1000):
            answer += part
            if b"\r\n\r\n" in answer:
                client.sendall(b"GET /next")
        assert answer.startswith(b"HTTP/1.1 204 ")
        assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("reads", [True, False])
def test_an_answer_is_let_go_of_if_nothing_of_it_is_read(
    address: tuple[str, int], reads: bool
) -> None:
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(address)
        client.settimeout(60)
        client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        received = len(client.recv(1))
        if not reads:
            time.sleep(1.5)
        with contextlib.suppress(ConnectionResetError):
            begun = time.monotonic()
            while part := client.recv(2**16):
                received += len(part)
                if time.monotonic() - begun < 1.5:
                    time.sleep(0.05)
    assert (received > len(LARGE)) is reads
