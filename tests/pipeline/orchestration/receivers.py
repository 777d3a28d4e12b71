"""Servers on this machine that notifications are sent to: of the web, and of mail."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class WebReceiver:
    """What a web server was sent, and what it answers: the last status again and again."""

    statuses: list[int]
    seconds: float = 0
    """For which it keeps quiet before an answer."""
    url: str = ""
    received: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def receiving_posts(
    *statuses: int, seconds: float = 0, tls: ssl.SSLContext | None = None
) -> Iterator[WebReceiver]:
    """A web server that takes JSON."""
    receiver = WebReceiver(list(statuses or (200,)), seconds)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            receiver.paths.append(self.path)
            receiver.received.append(
                json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            )
            receiver.ended.wait(receiver.seconds)
            left = receiver.statuses
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            receiver.paths.append(f"GET {self.path}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # The other side has gone.
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        if tls is not None:
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
            receiver.url = f"https://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.ended.set()
            server.shutdown()
            thread.join()


@dataclass
class MailReceiver:
    """What a mail server was sent."""

    port: int = 0
    messages: list[bytes] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    """Users and passwords, each with whether the connection was private."""
    sessions: int = 0


@contextmanager
def receiving_mail(
    replies: Mapping[str, list[str]] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    from_start: bool = False,
) -> Iterator[MailReceiver]:
    """A mail server.

    Args:
        replies: To a command, in place of what it is answered with otherwise, one each time.
        tls: For STARTTLS.
        from_start: TLS without that command.
    """
    receiver = MailReceiver()
    own = {command: list(each) for command, each in (replies or {}).items()}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.sessions += 1
        private = from_start

        async def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        try:
            await say("220 test")
            while line := (await reader.readline()).decode().strip():
                command = line.split()[0].upper()
                if own.get(command):
                    answer = own[command].pop(0)
                    if answer == "silence":
                        await asyncio.sleep(60)
                    await say(answer)
                    continue
                match command:
                    case "EHLO":
                        offers = ["test", "AUTH PLAIN"]
                        offers += ["STARTTLS"] if tls and not private else []
                        await say("\r\n".join(
                            f"250{' ' if each == offers[-1] else '-'}{each}" for each in offers
                        ))  # fmt: skip
                    case "STARTTLS":
                        await say("220 go on")
                        await writer.start_tls(tls)
                        private = True
                    case "AUTH":
                        login = base64.b64decode(line.split()[2]).decode().split("\0")
                        receiver.logins.append(f"{login[1]} {login[2]} {private}")
                        await say("235 welcome")
                    case "MAIL":
                        receiver.senders.append(line)
                        await say("250 ok")
                    case "RCPT":
                        receiver.recipients.append(line)
                        await say("250 ok")
                    case "DATA":
                        await say("354 go on")
                        content = await reader.readuntil(b"\r\n.\r\n")
                        receiver.messages.append(content.removesuffix(b".\r\n"))
                        await say("250 taken")
                    case "QUIT":
                        await say("221 bye")
                        break
                    case _:
                        await say("250 ok")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls if from_start else None)
    )
    receiver.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield receiver
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
