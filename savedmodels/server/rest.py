"""REST API as a FastAPI application over our `Service`.

FastAPI routes requests and describes the API. Our own code reads paths and bodies and writes
answers and errors, by TensorFlow Serving's rules.
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

HEALTH = "/health"  # path that answers 200 if every model has an available version
# Number of bodies that may arrive at once; more than requests may run, as they take no threads.
_MAX_ARRIVING = 256
# Memory limit of all arriving bodies, in bodies of the maximum size (256 of 16 MiB take 4 GiB).
_MAX_FULL_BODIES = 16
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_GZIP_FORMAT = 16 + zlib.MAX_WBITS  # tells zlib to expect gzip's header and checksum


class TooLarge(Refused):
    """Body above the size limit: HTTP status 413 instead of the code's usual one."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            Code.RESOURCE_EXHAUSTED, f"The body of a request must have at most {limit} bytes"
        )


def rest_api(service: Service) -> FastAPI:
    """Make the application; it describes itself at `/openapi.json`."""
    workers, token = _Workers(service), service.options.token

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()

    async def check_token(request: Request) -> None:
        header = request.headers.get("authorization", "").encode("latin-1")
        if token is not None and not has_token(header, token):
            raise unauthenticated()

    app = FastAPI(
        title="GrowGAN",
        summary="The REST API of TensorFlow Serving.",
        docs_url=None,  # Documentation pages would load scripts from other hosts.
        redoc_url=None,
        # A redirect would replace TensorFlow Serving's error for a malformed path.
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.add_exception_handler(Refused, _answer_refused)
    app.add_exception_handler(HTTPException, _answer_unrouted)

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
            return _json(await asyncio.wait_for(workers.answer(request), service.limits.seconds))
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
        "/{path:path}",  # TensorFlow Serving ignores the case of paths, FastAPI's routes do not.
        answer,
        methods=[*_METHODS],
        include_in_schema=False,
        dependencies=behind_token,
    )
    return app


class _Workers:
    """Threads that answer requests about models, once the requests' bodies have arrived."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._running = 0
        self._threads = ThreadPoolExecutor(service.limits.requests, "rest")
        self._arrivals = Arrivals(_MAX_ARRIVING, _MAX_FULL_BODIES * service.limits.request_bytes)

    async def answer(self, request: Request) -> bytes:
        """Answer a request; return the body of the answer."""
        deadline = time.monotonic() + self._service.limits.seconds
        target = route(request.method, _path_of(request))
        with self._count_refusals(target):
            self._require_free_thread()  # Refuse before the body arrives, to save the transfer.
            body = await self._receive(request)
            self._require_free_thread()  # Others may have taken the last one meanwhile.
            self._running += 1
        gzipped = "gzip" in request.headers.get("content-encoding", "")
        work = asyncio.wrap_future(self._threads.submit(self._do, target, body, gzipped, deadline))
        work.add_done_callback(self._end)
        # Shield the work, as a thread cannot be cancelled: it counts as running until it is done.
        return await asyncio.shield(work)

    def close(self) -> None:
        """End the threads, without waiting for those that still run after a timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _count_refusals(self, target: Route) -> Iterator[None]:
        """Count a prediction that is refused before its thread starts; threads count the others."""
        try:
            yield
        except (Refused, asyncio.CancelledError) as error:
            if target.method not in ("status", "metadata"):
                refused = error if isinstance(error, Refused) else timed_out()
                self._service.count_refusal(target.spec.name, refused.code)
            raise

    def _end(self, work: asyncio.Future[bytes]) -> None:
        self._running -= 1
        if not work.cancelled():
            work.exception()  # Retrieve it, or asyncio logs it if nobody waits any more.

    def _require_free_thread(self) -> None:
        if self._running >= self._service.limits.requests:
            raise Refused(Code.RESOURCE_EXHAUSTED, "Too many requests are under way")

    async def _receive(self, request: Request) -> bytes:
        with self._arrivals.track(lambda: reading.cancel()) as report_bytes:
            reading = asyncio.ensure_future(self._read(request, report_bytes))
            try:
                return await reading
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # Timed out, not dropped by `Arrivals`.
                    raise
                raise Refused(
                    Code.RESOURCE_EXHAUSTED, "Too many bodies are arriving, and this one was slow"
                ) from None

    async def _read(self, request: Request, report_bytes: Callable[[int], None]) -> bytes:
        limit = self._service.limits.request_bytes
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                report_bytes(len(part))
                # Check while reading: the Content-Length header may be wrong or missing.
                if len(body) > limit:
                    raise TooLarge(limit)
        except ClientDisconnect:
            raise Refused(Code.CANCELLED, "The client has disconnected") from None
        return bytes(body)

    def _do(self, target: Route, body: bytes, gzipped: bool, deadline: float) -> bytes:
        """Answer a request in a thread."""
        spec = target.spec
        if target.method == "status":
            # Write fields with default values too, as TensorFlow Serving does.
            return MessageToJson(
                self._service.status(spec), always_print_fields_with_no_presence=True
            ).encode()
        if target.method == "metadata":
            return self._metadata(target)
        with self._service.measured(spec.name, target.method, "REST"):
            if target.method != "predict":
                raise unable_to(target.method)
            if gzipped:
                body = decompress_gzip(body, self._service.limits.request_bytes)
            return self._service.predict_json(spec, body, deadline)

    def _metadata(self, target: Route) -> bytes:
        response, signatures = self._service.metadata(target.spec)
        spec, signature_def = (
            MessageToDict(
                message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            for message in (response.model_spec, signatures)
        )
        answer = {"model_spec": spec, "metadata": {"signature_def": signature_def}}
        return json.dumps(answer, indent=4).encode()


def decompress_gzip(body: bytes, limit: int) -> bytes:
    """Decompress a gzip body to at most `limit` bytes, or raise `TooLarge`; empty if damaged."""
    stream = zlib.decompressobj(_GZIP_FORMAT)
    try:
        # Stop one byte above the limit, so that a gzip bomb cannot fill the memory.
        content = stream.decompress(body, limit + 1)
    except zlib.error:
        return b""  # As in TensorFlow Serving: the JSON parser then refuses the empty body.
    if len(content) > limit:
        raise TooLarge(limit)
    return content if stream.eof and not stream.unused_data else b""


def has_token(header: bytes, token: str) -> bool:
    """Return whether an `authorization` header has the token."""
    # Compare in constant time, so that response times do not reveal the token.
    return hmac.compare_digest(header, b"Bearer " + token.encode())


def unauthenticated() -> Refused:
    """Make the error for a request without the token."""
    return Refused(Code.UNAUTHENTICATED, "A request must carry the API token")


def _path_of(request: Request) -> str:
    # Take the path before percent-decoding, as TensorFlow Serving does: `%2F` is no separator.
    path: bytes = request.scope["raw_path"]
    return path.decode("latin-1")


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _answer_refused(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    status = 413 if isinstance(refused, TooLarge) else HTTP_STATUS[refused.code]
    response = _json(json_answers.write_error(refused.message), status)
    if refused.code is Code.UNAUTHENTICATED:
        # Add the header that HTTP requires with status 401.
        response.headers["www-authenticate"] = "Bearer"
    return response


def _answer_unrouted(request: Request, error: Exception) -> Response:
    """Answer a request with an unknown path or HTTP method."""
    path = _path_of(request)
    if is_ours(path):
        return _answer_refused(request, malformed(request.method, path))
    return _json(json_answers.write_error("Not Found"), 404)
