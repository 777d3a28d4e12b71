"""The REST API, as an ASGI application.

No web framework stands in between: paths match without regard to case, bodies are read by rules
of their own, and every error has a fixed form, so that its routing, validation and error pages
would all have to be switched off.
"""

from __future__ import annotations

import asyncio
import hmac
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.protobuf.json_format import MessageToJson

from savedmodels.server import json_answers, metrics
from savedmodels.server.batching import timed_out
from savedmodels.server.codes import HTTP_STATUS, Code, Refused, invalid
from savedmodels.server.routes import Route, is_ours, route
from savedmodels.server.servable import refusal_of
from savedmodels.server.service import Service

HEALTH = "/health"
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class TooLarge(Refused):
    """A body beyond the limit, for which HTTP has a status of its own."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            Code.RESOURCE_EXHAUSTED, f"The body of a request must have at most {limit} bytes"
        )


class RestApi:
    """Answers HTTP requests.

    Args:
        service: What answers them.
        token: What a request must bear, if anything.
    """

    def __init__(self, service: Service, token: str | None = None) -> None:
        self._service = service
        self._token = token
        self._running = 0
        self._threads = ThreadPoolExecutor(service.limits.requests, "rest")

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, by the protocol ASGI."""
        kind = "application/json"
        try:
            status, kind, body = await asyncio.wait_for(
                self._answer(scope, receive), self._service.limits.seconds
            )
        except TimeoutError:
            status, body = _of_refusal(timed_out())
        except Exception as error:
            status, body = _of_refusal(refusal_of(error))
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        if status == HTTP_STATUS[Code.UNAUTHENTICATED]:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def close(self) -> None:
        """End the threads, without waiting for what was given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, scope: Mapping[str, Any], receive: Receive) -> tuple[int, str, bytes]:
        deadline = time.monotonic() + self._service.limits.seconds
        verb, path = scope["method"], scope["raw_path"].decode("latin-1")
        if path == HEALTH:
            return self._health()
        headers = dict(scope["headers"])
        self._check_token(headers.get(b"authorization", b""))
        if path == metrics.PATH:
            return 200, "text/plain", self._service.metrics.page()
        if not is_ours(path):
            return 404, "application/json", json_answers.error("Not Found")
        asked = route(verb, path)
        if self._running >= self._service.limits.requests:
            raise Refused(Code.RESOURCE_EXHAUSTED, "Too many requests are under way")
        self._running += 1
        try:
            body = await self._body(receive)
        except BaseException:
            self._running -= 1
            raise
        packed = b"gzip" in headers.get(b"content-encoding", b"")
        work = asyncio.wrap_future(self._threads.submit(self._do, asked, body, packed, deadline))
        work.add_done_callback(self._end)
        # A request that is given up has its thread until it is done.
        return 200, "application/json", await asyncio.shield(work)

    def _end(self, work: asyncio.Future[bytes]) -> None:
        self._running -= 1
        if not work.cancelled():
            work.exception()  # Taken, since nobody may be waiting any longer.

    async def _body(self, receive: Receive) -> bytes:
        limit = self._service.limits.request_bytes
        body = bytearray()
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise Refused(Code.CANCELLED, "The client has gone")
            body += event.get("body", b"")
            if len(body) > limit:
                raise TooLarge(limit)
            if not event.get("more_body", False):
                return bytes(body)

    def _do(self, asked: Route, body: bytes, packed: bool, deadline: float) -> bytes:
        spec = asked.spec
        if asked.method == "status":
            return MessageToJson(
                self._service.status(spec), always_print_fields_with_no_presence=True
            ).encode()
        if asked.method == "metadata":
            return self._metadata(asked)
        with self._service.measured(spec.name, asked.method, "REST"):
            if asked.method != "predict":
                raise Refused(
                    Code.UNIMPLEMENTED, f"This server does not {asked.method}; it does predict"
                )
            if packed:
                body = unpacked(body, self._service.limits.request_bytes)
            try:
                return self._service.predict_json(spec, body, deadline)
            except RecursionError:
                raise invalid("JSON Parse error: Values are nested too deeply.") from None

    def _metadata(self, asked: Route) -> bytes:
        response, signatures = self._service.metadata(asked.spec)
        texts = [
            MessageToJson(
                message,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for message in (response.model_spec, signatures)
        ]
        return (
            f'{{\n"model_spec":{texts[0]},\n"metadata": {{"signature_def": {texts[1]}}}\n}}\n'
        ).encode()

    def _health(self) -> tuple[int, str, bytes]:
        if unready := self._service.servables.unready():
            raise Refused(
                Code.UNAVAILABLE, f"No version is available of: {', '.join(sorted(unready))}"
            )
        return 200, "application/json", b'{\n    "status": "OK"\n}\n'

    def _check_token(self, header: bytes) -> None:
        if self._token is not None and not bears(header, self._token):
            raise unauthenticated()


def unpacked(body: bytes, limit: int) -> bytes:
    """What a body in gzip's format holds, and nothing if it is damaged, as in TensorFlow Serving.

    Raises:
        TooLarge: if it holds more than `limit` bytes. What is beyond them is not unpacked.
    """
    stream = zlib.decompressobj(_GZIP_FORMAT)
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error:
        return b""
    if len(content) > limit:
        raise TooLarge(limit)
    return content if stream.eof and not stream.unused_data else b""


def bears(header: bytes, token: str) -> bool:
    """Whether the value of an `authorization` header bears a token."""
    return hmac.compare_digest(header, b"Bearer " + token.encode())


def unauthenticated() -> Refused:
    """What a request is answered with that does not bear the token."""
    return Refused(Code.UNAUTHENTICATED, "A request must bear the API token")


def _of_refusal(refused: Refused) -> tuple[int, bytes]:
    status = 413 if isinstance(refused, TooLarge) else HTTP_STATUS[refused.code]
    return status, json_answers.error(refused.message)
