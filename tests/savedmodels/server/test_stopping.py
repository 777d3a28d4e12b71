"""How a real server ends at a signal."""

from __future__ import annotations

import contextlib
import signal
import socket
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

from tests.savedmodels.server.clients import SLOW, request_of, stub, until

pytestmark = pytest.mark.slow


def test_a_signal_lets_requests_finish_and_takes_no_new_ones(repository: Path, start: Any) -> None:
    body = {"signature_name": "slow", "inputs": {"x": [[0, 0]], "turns": 200_000}}
    with start(repository) as server, ThreadPoolExecutor(4) as clients, stub(server) as client:
        assert client.Predict(request_of(x=np.zeros((1, 2), np.float32)))
        rest = clients.submit(server.predict, "toy", body)
        rpc = client.Predict.future(
            request_of("slow", x=np.zeros((1, 2), np.float32), turns=np.int32(200_000))
        )
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
            client.Predict(request_of(x=np.zeros((1, 2), np.float32)))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert rest.result().json == {"outputs": [[200_000.0, 200_000.0]]}
        assert tf.make_ndarray(rpc.result().outputs["y"]).tolist() == [[200_000.0, 200_000.0]]
        assert server.process.wait(120) == 0


def test_a_run_without_end_does_not_keep_the_server(repository: Path, start: Any) -> None:
    with start(repository, "--grace-seconds", "1") as server:
        threading.Thread(target=_ignore, args=(server.predict, "toy", SLOW), daemon=True).start()
        until(lambda: server.ask("GET", "/health").status == 200)
        time.sleep(1)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0


def _ignore(call: Callable[..., Any], *arguments: Any) -> None:
    with contextlib.suppress(Exception):
        call(*arguments)
