"""The REST API, as a FastAPI application.

FastAPI routes, describes the API and shapes what goes wrong. What a path and a body mean is read
here by TensorFlow Serving's rules: words of a path match without regard to case, the path is taken
as it was sent, and JSON has rules of its own.
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
MOST_COMING = 256
"""Bodies that may be coming at once."""
MOST_WHOLE = 16
"""Bodies of the greatest size that fit into what all that are coming may hold."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_GZIP_FORMAT = 16 + zlib.MAX_WBITS


class TooLarge(Refused):
    """A body beyond the limit, for which HTTP has a status of its own."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            Code.RESOURCE_EXHAUSTED, f"The body of a request must have at most {limit} bytes"
        )


def rest_api(service: Service, token: str | None = None) -> FastAPI:
    """An application that answers HTTP requests, and describes itself at `/openapi.json`.

    Args:
        service: Service that answers them.
        token: Token that a request must bear, if any; all but the health and the description ask
            for it.
    """
    models = _Models(service)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        models.close()

    async def check_token(request: Request) -> None:
        header = request.headers.get("authorization", "").encode("latin-1")
        if token is not None and not bears(header, token):
            raise unauthenticated()

    app = FastAPI(
        title="GrowGAN",
        summary="The REST API of TensorFlow Serving.",
        docs_url=None,  # Their pages load scripts from elsewhere.
        redoc_url=None,
        redirect_slashes=False,
        lifespan=life,
    )
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _unrouted)

    @app.get(HEALTH)
    async def health() -> Response:
        """Return whether a version of every model is available."""
        if unready := service.models.unready():
            raise Refused(
                Code.UNAVAILABLE, f"No version is available of: {', '.join(sorted(unready))}"
            )
        return _json(b'{\n    "status": "OK"\n}\n')

    behind_token = [Depends(check_token)]

    @app.get(metrics.PATH, dependencies=behind_token, response_class=PlainTextResponse)
    async def page_of_metrics() -> Response:
        """Counters and latencies, as Prometheus reads them."""
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
        "/{path:path}",  # What those do not match may be of other case, and has errors of its own.
        answer,
        methods=[*_METHODS],
        include_in_schema=False,
        dependencies=behind_token,
    )
    return app


class _Models:
    """Requests to models, in threads of their own."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._running = 0
        self._threads = ThreadPoolExecutor(service.limits.requests, "rest")
        self._arrivals = Arrivals(MOST_COMING, MOST_WHOLE * service.limits.request_bytes)

    async def answer(self, request: Request) -> bytes:
        """The body of an answer.

        Raises:
            Refused: if there is none.
        """
        deadline = time.monotonic() + self._service.limits.seconds
        asked = route(request.method, _path_of(request))
        with self._counting_refusals(asked):
            self._require_place()  # Else nobody need send what cannot be answered.
            body = await self._body(request)
            self._require_place()
            self._running += 1
        packed = "gzip" in request.headers.get("content-encoding", "")
        work = asyncio.wrap_future(self._threads.submit(self._do, asked, body, packed, deadline))
        work.add_done_callback(self._end)
        # A request that is given up has its thread until it is done.
        return await asyncio.shield(work)

    def close(self) -> None:
        """End the threads, without waiting for what was given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _counting_refusals(self, asked: Route) -> Iterator[None]:
        """A block that goes before the thread of a request, which counts what becomes of it."""
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
            work.exception()  # Taken, since nobody may be waiting any longer.

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
                if task is not None and task.cancelling():  # Its time has run out.
                    raise
                raise Refused(
                    Code.RESOURCE_EXHAUSTED, "Too many bodies are coming, of which this was slow"
                ) from None

    async def _read(self, request: Request, came: Callable[[int], None]) -> bytes:
        limit = self._service.limits.request_bytes
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                came(len(part))
                if len(body) > limit:
                    raise TooLarge(limit)
        except ClientDisconnect:
            raise Refused(Code.CANCELLED, "The client has gone") from None
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
                raise unable_to(asked.method)
            if packed:
                body = unpacked(body, self._service.limits.request_bytes)
            return self._service.predict_json(spec, body, deadline)

    def _metadata(self, asked: Route) -> bytes:
        response, signatures = self._service.metadata(asked.spec)
        spec, signature_def = (
            MessageToDict(
                message,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for message in (response.model_spec, signatures)
        )
        found = {"model_spec": spec, "metadata": {"signature_def": signature_def}}
        return json.dumps(found, indent=4).encode()


def unpacked(body: bytes, limit: int) -> bytes:
    """Unpack a body in gzip's format; nothing if it is damaged, as in TensorFlow Serving.

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
    """Return whether the value of an `authorization` header bears a token."""
    return hmac.compare_digest(header, b"Bearer " + token.encode())


def unauthenticated() -> Refused:
    """Return the answer to a request without the token."""
    return Refused(Code.UNAUTHENTICATED, "A request must bear the API token")


def _path_of(request: Request) -> str:
    """Return the path as it was sent."""
    path: bytes = request.scope["raw_path"]
    return path.decode("latin-1")


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _refused(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    status = 413 if isinstance(refused, TooLarge) else HTTP_STATUS[refused.code]
    response = _json(json_answers.write_error(refused.message), status)
    if refused.code is Code.UNAUTHENTICATED:
        response.headers["www-authenticate"] = "Bearer"
    return response


def _unrouted(request: Request, error: Exception) -> Response:
    """To a path that is none of the API's, or a word for what to do that HTTP does not know."""
    path = _path_of(request)
    if is_ours(path):
        return _refused(request, malformed(request.method, path))
    return _json(json_answers.write_error("Not Found"), 404)
