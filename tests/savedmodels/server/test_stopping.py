"""How a real server ends at a signal."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf

from tests.savedmodels.server.clients import (
    ENDLESS,
    SLOW,
    record_of,
    request_of,
    stub,
    until,
    write_warm_up,
)
from tests.savedmodels.server.conftest import run_server

pytestmark = pytest.mark.slow
TRIED = 50_000
"""Turns that tell how fast the machine is."""
SECONDS = 4.0
"""Time that a slow request takes alone; two of them are asked for at once."""


def test_a_signal_lets_requests_finish_and_takes_no_new_ones(repository: Path) -> None:
    """With a real interpreter, which proves that `python -m pipeline.cli serve` does."""
    rows = np.zeros((1, 2), np.float32)
    with (
        run_server(repository) as server,
        ThreadPoolExecutor(4) as clients,
        stub(server) as client,
    ):
        begun = time.monotonic()
        client.Predict(request_of("slow", x=rows, turns=np.int32(TRIED)))
        turns = max(TRIED, round(TRIED * SECONDS / (time.monotonic() - begun)))
        body = {"signature_name": "slow", "inputs": {"x": [[0, 0]], "turns": turns}}
        rest = clients.submit(server.predict, "toy", body)
        rpc = client.Predict.future(request_of("slow", x=rows, turns=np.int32(turns)))
        time.sleep(1)
        assert not rest.done()
        server.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", server.rest_port)).close()
            except ConnectionRefusedError:
                return True
            return False

        until(refused)
        with pytest.raises(grpc.RpcError) as caught:
            client.Predict(request_of(x=rows))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert rest.result().json == {"outputs": [[turns, turns]]}
        assert tf.make_ndarray(rpc.result().outputs["y"]).tolist() == [[turns, turns]]
        assert server.process.wait(120) == 0


def test_a_run_without_end_does_not_keep_the_server(repository: Path, start: Any) -> None:
    options = "--grace-seconds", "1", "--max-requests", "1", "--rest-api-timeout-in-ms", "600000"
    with start(repository, *options) as server:

        def ask_slowly() -> None:
            # The request that looks whether it is under way may have taken its place.
            while server.predict("toy", SLOW).status == 429:
                pass

        threading.Thread(target=_ignore, args=(ask_slowly,), daemon=True).start()
        until(lambda: server.predict("toy", {"inputs": [[0, 0]]}).status == 429)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(120) == 0


def test_a_signal_ends_it_while_a_version_is_loaded(
    repository: Path, tmp_path: Path, python: str
) -> None:
    slow = request_of("slow", x=np.zeros((1, 2), np.float32), turns=np.int32(ENDLESS))
    write_warm_up(repository / "toy" / "3", record_of(slow))
    log, command = tmp_path / "log", [python, "-m", "pipeline.cli", "serve", repository]
    options = ["--port", "0", "--rest-api-port", "0", "--rest-api-timeout-in-ms", "600000"]
    with (
        log.open("w") as errors,
        subprocess.Popen([*command, *options], stdout=errors, stderr=errors) as process,
    ):
        try:
            until(lambda: "version 3 of model toy is being loaded" in log.read_text())
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 128 + signal.SIGTERM
            assert "serving " not in log.read_text()
        finally:
            process.kill()


def _ignore(call: Callable[..., Any], *arguments: Any) -> None:
    with contextlib.suppress(Exception):
        call(*arguments)
