"""REST API as a FastAPI application.

FastAPI routes requests, describes the API and formats errors; paths and bodies are read by
TensorFlow Serving's rules.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from google.protobuf.json_format import MessageToDict, MessageToJson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from savedmodels.server import json_answers, metrics
from savedmodels.server.arrivals import Arrivals
from savedmodels.server.codes import HTTP_STATUS, Code, Refused
from savedmodels.server.openapi import OPERATIONS
from savedmodels.server.routes import Route, is_ours, malformed, route
from savedmodels.server.servable import refusal_of
from savedmodels.server.service import Service, unable_to
from savedmodels.server.time_left import timed_out

HEALTH = "/health"
MOST_COMING = 256  # bodies that may arrive at once; each takes no thread, so more than may run
MOST_WHOLE = 16  # largest bodies whose memory all arriving ones may take: 256 would take 4 GiB
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_GZIP_FORMAT = 16 + zlib.MAX_WBITS  # zlib's way to ask for gzip's header and checksum


class TooLarge(Refused):
    """Body beyond the limit: HTTP status 413 instead of the code's usual one."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            Code.RESOURCE_EXHAUSTED, f"The body of a request must have at most {limit} bytes"
        )


def rest_api(service: Service) -> FastAPI:
    """Make the application; it describes itself at `/openapi.json`."""
    models, token = _Models(service), service.options.token

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        models.close()

    async def check_token(request: Request) -> None:
        header = request.headers.get("authorization", "").encode("latin-1")
        if token is not None and not has_token(header, token):
            raise unauthenticated()

    app = FastAPI(
        title="GrowGAN",
        summary="The REST API of TensorFlow Serving.",
        docs_url=None,  # These pages load scripts from other hosts.
        redoc_url=None,
        # A redirect would replace TensorFlow Serving's error for a malformed path.
        redirect_slashes=False,
        lifespan=life,
    )
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _unrouted)

    @app.get(HEALTH)
    async def health() -> Response:
        """Answer 200 if every model has an available version, otherwise 503."""
        if unready := service.models.unready():
            raise Refused(
                Code.UNAVAILABLE, f"No version is available of: {', '.join(sorted(unready))}"
            )
        return _json(b'{\n    "status": "OK"\n}\n')

    behind_token = [Depends(check_token)]

    @app.get(metrics.PATH, dependencies=behind_token, response_class=PlainTextResponse)
    async def page_of_metrics() -> Response:
        """Answer with counters and latencies for Prometheus."""
        return Response(service.metrics.page(), headers={"content-type": "text/plain"})

    async def answer(request: Request) -> Response:
        if not is_ours(_path_of(request)):
            raise HTTPException(404)
        try:
            return _json(await asyncio.wait_for(models.answer(request), service.limits.seconds))
        except TimeoutError:
            raise timed_out() from None
        except Exception as error:
            raise refusal_of(error) from error

    for operation in OPERATIONS:
        app.add_api_route(
            operation.path,
            answer,
            methods=[operation.verb],
            summary=operation.summary,
            openapi_extra=operation.extra,
            dependencies=behind_token,
        )
    app.add_api_route(
        "/{path:path}",  # FastAPI's routes match by case; TensorFlow Serving's do not.
        answer,
        methods=[*_METHODS],
        include_in_schema=False,
        dependencies=behind_token,
    )
    return app


class _Models:
    """Threads that answer requests to models."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._running = 0
        self._threads = ThreadPoolExecutor(service.limits.requests, "rest")
        self._arrivals = Arrivals(MOST_COMING, MOST_WHOLE * service.limits.request_bytes)

    async def answer(self, request: Request) -> bytes:
        """Answer a request; returns the body."""
        deadline = time.monotonic() + self._service.limits.seconds
        asked = route(request.method, _path_of(request))
        with self._counting_refusals(asked):
            self._require_place()  # Refuse before the body arrives, to save the transfer.
            body = await self._body(request)
            self._require_place()  # Others may have taken the last one meanwhile.
            self._running += 1
        packed = "gzip" in request.headers.get("content-encoding", "")
        work = asyncio.wrap_future(self._threads.submit(self._do, asked, body, packed, deadline))
        work.add_done_callback(self._end)
        # A thread cannot be cancelled: after a timeout it keeps its place until it is done.
        return await asyncio.shield(work)

    def close(self) -> None:
        """End the threads, without waiting for requests that timed out."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _counting_refusals(self, asked: Route) -> Iterator[None]:
        """Count requests refused before their thread starts, which counts all others."""
        try:
            yield
        except (Refused, asyncio.CancelledError) as error:
            if asked.method not in ("status", "metadata"):
                refused = error if isinstance(error, Refused) else timed_out()
                self._service.count_refusal(asked.spec.name, refused.code)
            raise

    def _end(self, work: asyncio.Future[bytes]) -> None:
        self._running -= 1
        if not work.cancelled():
            work.exception()  # Retrieved, or asyncio logs it if nobody waits any more.

    def _require_place(self) -> None:
        if self._running >= self._service.limits.requests:
            raise Refused(Code.RESOURCE_EXHAUSTED, "Too many requests are under way")

    async def _body(self, request: Request) -> bytes:
        with self._arrivals.coming(lambda: reading.cancel()) as came:
            reading = asyncio.ensure_future(self._read(request, came))
            try:
                return await reading
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # Timed out, not dropped by `Arrivals`.
                    raise
                raise Refused(
                    Code.RESOURCE_EXHAUSTED, "Too many bodies are arriving, and this one was slow"
                ) from None

    async def _read(self, request: Request, came: Callable[[int], None]) -> bytes:
        limit = self._service.limits.request_bytes
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                came(len(part))
                # Checked while reading: the header of the length may lie or be missing.
                if len(body) > limit:
                    raise TooLarge(limit)
        except ClientDisconnect:
            raise Refused(Code.CANCELLED, "The client has disconnected") from None
        return bytes(body)

    def _do(self, asked: Route, body: bytes, packed: bool, deadline: float) -> bytes:
        spec = asked.spec
        if asked.method == "status":
            # With fields that have default values, as TensorFlow Serving writes them.
            return MessageToJson(
                self._service.status(spec), always_print_fields_with_no_presence=True
            ).encode()
        if asked.method == "metadata":
            return self._metadata(asked)
        with self._service.measured(spec.name, asked.method, "REST"):
            if asked.method != "predict":
                raise unable_to(asked.method)
            if packed:
                body = unpacked(body, self._service.limits.request_bytes)
            return self._service.predict_json(spec, body, deadline)

    def _metadata(self, asked: Route) -> bytes:
        response, signatures = self._service.metadata(asked.spec)
        spec, signature_def = (
            MessageToDict(
                message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            for message in (response.model_spec, signatures)
        )
        found = {"model_spec": spec, "metadata": {"signature_def": signature_def}}
        return json.dumps(found, indent=4).encode()


def unpacked(body: bytes, limit: int) -> bytes:
    """Decompress a gzip body of at most `limit` bytes; empty if it is damaged."""
    stream = zlib.decompressobj(_GZIP_FORMAT)
    try:
        # One byte beyond the limit proves excess without decompressing a bomb.
        content = stream.decompress(body, limit + 1)
    except zlib.error:
        return b""  # As in TensorFlow Serving, whose JSON reader then refuses it.
    if len(content) > limit:
        raise TooLarge(limit)
    return content if stream.eof and not stream.unused_data else b""


def has_token(header: bytes, token: str) -> bool:
    """Return whether an `authorization` header has the token."""
    # Constant time, so that the time of an answer does not reveal the token.
    return hmac.compare_digest(header, b"Bearer " + token.encode())


def unauthenticated() -> Refused:
    """Make the error for a request without the token."""
    return Refused(Code.UNAUTHENTICATED, "A request must carry the API token")


def _path_of(request: Request) -> str:
    # Before decoding, because TensorFlow Serving matches it so: `%2F` separates nothing.
    path: bytes = request.scope["raw_path"]
    return path.decode("latin-1")


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _refused(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    status = 413 if isinstance(refused, TooLarge) else HTTP_STATUS[refused.code]
    response = _json(json_answers.write_error(refused.message), status)
    if refused.code is Code.UNAUTHENTICATED:
        # HTTP requires it with status 401.
        response.headers["www-authenticate"] = "Bearer"
    return response


def _unrouted(request: Request, error: Exception) -> Response:
    """Answer requests with an unknown path or HTTP method."""
    path = _path_of(request)
    if is_ours(path):
        return _refused(request, malformed(request.method, path))
    return _json(json_answers.write_error("Not Found"), 404)
