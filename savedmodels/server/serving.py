"""A server from start to stop: both APIs, and the watch over the repository."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import uvicorn
from fastapi import FastAPI

from savedmodels.server.batching import BatchingParameters
from savedmodels.server.codes import Code, Refused
from savedmodels.server.connections import Connection
from savedmodels.server.grpc_service import server_for
from savedmodels.server.model_config import models_in, read
from savedmodels.server.model_manager import ModelManager
from savedmodels.server.ports import listening, unusable
from savedmodels.server.predictor import Predictor
from savedmodels.server.rest import rest_api
from savedmodels.server.service import Limits, Service

log = logging.getLogger(__name__)

_LAST_SECONDS = 5.0
"""For what follows on the grace."""


@dataclass(frozen=True)
class Certificate:
    """Files in PEM form for TLS."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Options:
    """Options of a server.

    Attributes:
        host: The address to listen at.
        grpc_port: 0 for any free one.
        rest_port: 0 for any free one.
        config: A `models.config`; without it that in the repository, from when it is there, and
            until then every model.
        poll_seconds: Between two looks at the repository; 0 for one look, at the start.
        grace_seconds: Time for requests that are under way when the server stops.
        limits: Limits of a request.
        batching: Parameters by which requests share runs; `None` for a run a request.
        retries: Further attempts to load a version that could not be loaded.
        retry_seconds: The time in between.
        labels_may_wait: Whether a label that is new may name a version that is not available yet.
        warming: Whether a version answers the requests of its warm-up file first.
        intra_op_threads: Threads that share an operation of a model; 0 leaves it to
            TensorFlow.
        inter_op_threads: Threads for operations that run at once; 0 leaves it to
            TensorFlow.
        token: Token that a request must bear, if any.
        tls: Certificate of the server; without it nothing is encrypted.
    """

    host: str = "127.0.0.1"
    grpc_port: int = 8500
    rest_port: int = 8501
    config: Path | None = None
    poll_seconds: float = 1.0
    grace_seconds: float = 30.0
    limits: Limits = field(default_factory=Limits)
    batching: BatchingParameters | None = None
    retries: int = 5
    retry_seconds: float = 60.0
    labels_may_wait: bool = False
    warming: bool = True
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    token: str | None = None
    tls: Certificate | None = None


@dataclass(frozen=True)
class Ports:
    """Ports at which a server listens."""

    grpc: int
    rest: int


@contextmanager
def serving(repository: Path, options: Options) -> Iterator[Ports]:
    """Serve a repository for as long as the block lasts.

    What is there is loaded before the block begins. When it ends new requests are refused, and
    those that are under way are finished, as far as the grace lasts. A load that is under way is
    waited for as long, and no other begins.

    Raises:
        Refused: if the configuration cannot be read or served, or a port cannot be used.
        OSError: if a file cannot be read.
    """
    service = Service(
        options.limits,
        options.batching,
        retries=options.retries,
        retry_seconds=options.retry_seconds,
        labels_may_wait=options.labels_may_wait,
        warming=options.warming,
        intra_op_threads=options.intra_op_threads,
        inter_op_threads=options.inter_op_threads,
    )
    watch = _Watch(service.models, repository, options.config)
    with listening(options.host, options.rest_port) as rest_socket:
        rest = _rest_server(rest_api(service, options.token), options)
        grpc_server = server_for(service, repository, options.token)
        grpc_port = _bind(grpc_server, options)
        try:
            _load_first(watch)
            threads = [
                threading.Thread(target=rest.run, args=([rest_socket],), name="rest"),
                threading.Thread(target=watch.run, args=(options.poll_seconds,), name="watch"),
            ]
            for thread in threads:
                thread.start()
            grpc_server.start()
            try:
                yield Ports(grpc_port, rest_socket.getsockname()[1])
            finally:
                end = time.monotonic() + options.grace_seconds + _LAST_SECONDS
                rest.should_exit = True
                watch.stop()
                service.models.load_no_more()
                grpc_server.stop(options.grace_seconds).wait()
                for thread in threads:
                    thread.join(max(0.0, end - time.monotonic()))
        finally:
            grpc_server.stop(None).wait()
            service.models.close(_LAST_SECONDS)


class _Watch:
    """Keeps what is served in step with the files."""

    def __init__(
        self, models: ModelManager[Predictor], repository: Path, config: Path | None
    ) -> None:
        self._models = models
        self._repository = repository
        self._config = config
        self._beside = repository / "models.config"
        self._text: str | None = None
        self._stopped = threading.Event()

    def look(self) -> None:
        """Load and unload what the files say, once.

        Raises:
            Refused: if the configuration cannot be read or served.
            OSError: if a file or folder cannot be read.
        """
        config = self._config or self._beside
        if self._config is None and self._text is None and not config.exists():
            self._models.follow(models_in(self._repository))
            return
        try:
            text = config.read_text(errors="replace")  # The parser tells of what is no text.
            if text != self._text:
                self._take(text)
        finally:
            # What a refused configuration waits for may come by the one that is served still.
            self._models.poll()

    def run(self, seconds: float) -> None:
        """Look again and again, until stopped; with 0 seconds in between never."""
        said = ""
        while seconds and not self._stopped.wait(seconds):
            try:
                self.look()
                said = ""
            except Exception as error:
                if str(error) != said:
                    said = str(error)
                    log.error("the repository cannot be followed: %s", said)

    def stop(self) -> None:
        """End `run` after what it is at."""
        self._stopped.set()

    def _take(self, text: str) -> None:
        try:
            self._models.reload(read(text, self._repository))
        except Refused as refused:
            if refused.code is Code.UNKNOWN:  # It is in force all the same.
                self._text = text
            raise
        self._text = text


def _load_first(watch: _Watch) -> None:
    with ThreadPoolExecutor(1, "load") as loader:
        loading = loader.submit(watch.look)
        # Python hears signals between two waits, but not within TensorFlow.
        while wait([loading], 0.5).not_done:
            pass
        loading.result()


def _bind(server: grpc.Server, options: Options) -> int:
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"{host}:{options.grpc_port}"
    try:
        if options.tls is None:
            return int(server.add_insecure_port(address))
        pair = options.tls.key.read_bytes(), options.tls.certificate.read_bytes()
        return int(server.add_secure_port(address, grpc.ssl_server_credentials([pair])))
    except RuntimeError as error:
        raise unusable(options.host, options.grpc_port, str(error)) from None


def _rest_server(api: FastAPI, options: Options) -> uvicorn.Server:
    tls = options.tls
    config = uvicorn.Config(
        api,
        # Named, since uvicorn takes httptools and uvloop wherever another package has brought them,
        # and what is said of limits and errors was tried with these.
        http=Connection,  # Of h11.
        loop="asyncio",
        lifespan="on",
        ws="none",
        interface="asgi3",
        access_log=False,
        log_level="error",
        server_header=False,
        timeout_graceful_shutdown=max(1, round(options.grace_seconds)),
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    config.load()  # Certificates that cannot be read are found here, and not in a thread.
    return uvicorn.Server(config)
