"""Run the server from start to stop: REST, gRPC, and a thread that watches the repository."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import uvicorn
from fastapi import FastAPI

from savedmodels.server.codes import Code, Refused
from savedmodels.server.connections import Connection
from savedmodels.server.grpc_service import make_grpc_server
from savedmodels.server.model_config import find_models, parse_models_config
from savedmodels.server.model_manager import ModelManager
from savedmodels.server.options import Options
from savedmodels.server.ports import listening, unusable
from savedmodels.server.predictor import Predictor
from savedmodels.server.rest import rest_api
from savedmodels.server.service import Service

log = logging.getLogger(__name__)

_LAST_SECONDS = 5.0  # after the grace period, for threads and loads to end


@dataclass(frozen=True)
class Ports:
    """Ports that a server listens on."""

    grpc: int
    rest: int


@contextmanager
def serving(repository: Path, options: Options) -> Iterator[Ports]:
    """Serve a repository within a `with` block; yield the ports.

    Existing versions are loaded before the block begins. When it ends, new requests are refused,
    no further load begins, and running requests and loads have `grace_seconds` to finish.

    Raises:
        Refused: if the configuration is invalid, or a port cannot be used.
        OSError: if a file cannot be read.
    """
    service = Service(options)
    watch = _Watch(service.models, repository, options.config)
    # Bind the ports before loading models, so that a taken port fails at once.
    with listening(options.host, options.rest_port) as rest_socket:
        rest = _rest_server(rest_api(service), options)
        grpc_server = make_grpc_server(service, repository)
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
                # Share one deadline, so that slow parts do not add up beyond the grace period.
                deadline = time.monotonic() + options.grace_seconds + _LAST_SECONDS
                rest.should_exit = True
                watch.stop()
                # Start no loads while the server stops, as they may take long.
                service.models.stop_loading()
                grpc_server.stop(options.grace_seconds).wait()
                for thread in threads:
                    thread.join(max(0.0, deadline - time.monotonic()))
        finally:
            # Stop gRPC even if the first load failed before its start: its port is bound already.
            grpc_server.stop(None).wait()
            service.models.close(_LAST_SECONDS)


class _Watch:
    """Follow the repository: keep the served models equal to its configuration or its folders."""

    def __init__(
        self, models: ModelManager[Predictor], repository: Path, config: Path | None
    ) -> None:
        self._models = models
        self._repository = repository
        self._given = config
        self._text: str | None = None  # of the configuration in force
        self._stopped = threading.Event()

    def look(self) -> None:
        """Read the configuration or the folders once, and load and unload accordingly."""
        config = self._given or self._repository / "models.config"
        # Serve the folders only if no configuration was ever read: a vanished one is an error.
        if self._given is None and self._text is None and not config.exists():
            self._models.follow(find_models(self._repository))
            return
        try:
            text = config.read_text(errors="replace")  # The parser reports wrong bytes.
            if text != self._text:
                self._apply(text)
        finally:
            # Poll even after a refusal: a label may need a version that the configuration in force
            # still has to load.
            self._models.poll()

    def run(self, seconds: float) -> None:
        """Call `look` every `seconds` until stopped; return at once if that is 0."""
        logged = ""
        while seconds and not self._stopped.wait(seconds):
            try:
                self.look()
                logged = ""
            except Exception as error:
                # Log an error once, not at every poll.
                if str(error) != logged:
                    logged = str(error)
                    log.error("the repository cannot be followed: %s", logged)

    def stop(self) -> None:
        """End `run` once the current `look` is done, which a load may delay."""
        self._stopped.set()

    def _apply(self, text: str) -> None:
        try:
            self._models.reload(parse_models_config(text, self._repository))
        except Refused as refused:
            if refused.code is Code.UNKNOWN:  # The configuration is in force; only a model failed.
                self._text = text
            raise
        self._text = text


def _load_first(watch: _Watch) -> None:
    with ThreadPoolExecutor(1, "load") as loader:
        loading = loader.submit(watch.look)
        # Wait in short steps in this thread, so that Python can handle signals between them.
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
        # Choose h11 and asyncio explicitly: limits and errors were tested with these only, but
        # uvicorn prefers httptools and uvloop if they are installed.
        http=Connection,  # A subclass of the h11 protocol.
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
    config.load()  # Fails here, not in a thread, if a certificate cannot be read.
    return uvicorn.Server(config)
