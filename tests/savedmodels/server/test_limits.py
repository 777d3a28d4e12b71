"""Limits of a real server: samples, bytes, requests, time, and batches that wait."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf

from tests.savedmodels.server.clients import ENDLESS, SLOW, request_of, stub, until

pytestmark = pytest.mark.slow


@pytest.fixture(name="limited", scope="module")
def _limited(start: Any, toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of version 3 with narrow limits."""
    repository = tmp_path_factory.mktemp("limited") / "repository"
    shutil.copytree(toy / "toy" / "3", repository / "toy" / "3")
    options = (
        "--max-requests", "2", "--max-request-bytes", "1000", "--max-samples", "3",
        "--rest-api-timeout-in-ms", "2000",
    )  # fmt: skip
    with start(repository, *options) as server:
        yield server


def test_limits_and_deadlines(limited: Any) -> None:
    server = limited
    with ThreadPoolExecutor(4) as clients:

        def ask_slowly() -> Any:
            # The request that looks whether both are under way may have taken the place of one.
            while (answer := server.predict("toy", SLOW)).status == 429:
                pass
            return answer

        assert server.predict("toy", {"inputs": [[0, 0]] * 3}).status == 200
        answer = server.predict("toy", {"inputs": [[0, 0]] * 4})
        assert answer.error == "A request must have at most 3 samples. Received: 4"
        answer = server.predict("toy", b" " * 1001)
        assert answer.status == 413
        assert answer.error == "The body of a request must have at most 1000 bytes"
        with stub(server) as client:
            with pytest.raises(grpc.RpcError) as caught:
                client.Predict(request_of(x=np.zeros((1000, 2), np.float32)))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        late = [clients.submit(ask_slowly) for _ in range(2)]
        until(lambda: server.predict("toy", {"inputs": [[0, 0]]}).status == 429 or late[0].done())
        for one in late:
            assert one.result().status == 504
            assert one.result().error == "Timed out waiting for notification"
        # Their threads are free again once their runs have been ended.
        until(lambda: server.predict("toy", {"inputs": [[0, 0]]}).status == 200)

        def counted(status: str) -> int:
            page = server.ask("GET", "/monitoring/prometheus/metrics").body.decode()
            line = f':tensorflow:serving:request_count{{model_name="toy",status="{status}"}} '
            return int(page.partition(line)[2].split("\n")[0] or 0)

        # A thread counts its request when its run has ended, which may be after the answer.
        until(lambda: counted("DEADLINE_EXCEEDED") >= 2)
        # The body that was too large, and those that looked.
        assert counted("RESOURCE_EXHAUSTED") >= 2


def test_batches_answer_each_its_own_and_a_full_queue_refuses(
    repository: Path, start: Any, tmp_path: Path
) -> None:
    parameters = tmp_path / "batching.config"
    parameters.write_text(
        "max_batch_size { value: 8 } max_enqueued_batches { value: 2 }"
        "num_batch_threads { value: 1 } allowed_batch_sizes: [3, 8]"
    )
    options = ("--enable-batching", "--batching-parameters-file", str(parameters))
    with start(repository, *options) as server, stub(server) as client:

        def ask(number: int) -> bool:
            x = np.full((1 + number % 3, 2), number, np.float32)
            response = client.Predict(request_of(x=x))
            return np.array_equal(tf.make_ndarray(response.outputs["y"]), 2 * x + 3)

        with ThreadPoolExecutor(4) as clients:
            assert all(clients.map(ask, range(200)))
        codes: list[str] = []

        def flood(_: int) -> None:
            for _ in range(30):
                try:
                    client.Predict(request_of(x=np.zeros((8, 2), np.float32)))
                    codes.append("OK")
                except grpc.RpcError as error:
                    codes.append(error.code().name)

        with ThreadPoolExecutor(24) as clients:
            list(clients.map(flood, range(24)))
        assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}

        def flood_over_rest(_: int) -> set[tuple[int, str]]:
            answers = [server.predict("toy", {"instances": [[0, 0]] * 8}) for _ in range(30)]
            return {(a.status, "" if a.status == 200 else a.error) for a in answers}

        with ThreadPoolExecutor(24) as clients:
            answered = set().union(*clients.map(flood_over_rest, range(24)))
        full = "The batch scheduling queue to which this task was submitted is full"
        assert answered == {(200, ""), (429, full)}
        answer = server.predict("toy", {"instances": [[0, 0]] * 9})
        assert answer.error == "Task size 9 is larger than maximum input batch size 8"
        answer = server.predict("toy", {"signature_name": "scalar", "inputs": 1})
        scalar = "Batching Run() input tensors must have at least one dimension"
        assert (answer.status, answer.error) == (400, scalar)
        with pytest.raises(grpc.RpcError) as caught:  # Its scalar is a default.
            client.Predict(request_of("optional", x=[[1.0, 2.0]], bias=[[0.0]]))
        assert caught.value.details() == scalar


def test_clients_that_go_away_hold_nothing_for_longer_than_the_limit(limited: Any) -> None:
    rows = np.zeros((1, 2), np.float32)
    with stub(limited) as client:
        slow = partial(client.Predict.future, request_of("slow", x=rows, turns=np.int32(ENDLESS)))
        gone: list[Any] = [slow(), slow()]

        def full() -> bool:
            # The request that looks whether both are under way may have had the place of one.
            gone[:] = [slow() if one.done() else one for one in gone]
            return code_of(client, rows) == "RESOURCE_EXHAUSTED"

        for _ in range(3):
            until(full)
            for one in gone:
                one.cancel()
            until(lambda: code_of(client, rows) == "OK")


def test_requests_whose_message_does_not_come_hold_no_place(limited: Any) -> None:
    """However many there are: of two places none is theirs."""
    rows, ended = np.zeros((1, 2), np.float32), threading.Event()

    def never() -> Iterator[bytes]:
        ended.wait()
        yield from ()

    with grpc.insecure_channel(limited.grpc) as channel, stub(limited) as client:
        method = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        idle = [method.future(never()) for _ in range(40)]
        # The oldest have made way.
        until(lambda: sum(call.done() for call in idle) >= 38)
        for _ in range(20):
            assert code_of(client, rows) == "OK"
        # Those that are left have so many seconds.
        assert {call.code().name for call in idle} <= {"CANCELLED", "RESOURCE_EXHAUSTED"}
        ended.set()


def test_bodies_that_do_not_come_hold_no_place(limited: Any) -> None:
    head = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n{"
    with ExitStack() as stack:
        for _ in range(20):
            client = socket.create_connection(("127.0.0.1", limited.rest_port))
            stack.enter_context(client).sendall(head)
        for _ in range(20):
            assert limited.predict("toy", {"inputs": [[0, 0]]}).status == 200


def test_who_bears_no_token_holds_no_place(repository: Path, start: Any, tmp_path: Path) -> None:
    token, ended = tmp_path / "token", threading.Event()
    token.write_text("opensesame")
    token.chmod(0o600)

    def never() -> Iterator[bytes]:
        ended.wait()
        yield from ()

    with (
        start(repository, "--token-file", str(token), "--max-requests", "2") as server,
        grpc.insecure_channel(server.grpc) as channel,
        stub(server) as client,
    ):
        method = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        idle = [method.future(never()) for _ in range(8)]
        # Each at once, or for a moment there were too many.
        codes = {call.code().name for call in idle}
        assert "UNAUTHENTICATED" in codes <= {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
        bearing = [("authorization", "Bearer opensesame")]
        assert client.Predict(request_of(x=np.zeros((1, 2), np.float32)), metadata=bearing)
        ended.set()


def code_of(client: Any, rows: np.ndarray) -> str:
    try:
        client.Predict(request_of(x=rows))
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def test_a_packed_message_over_grpc_is_unpacked_up_to_the_limit(limited: Any) -> None:
    program = limited.program
    with stub(limited) as client:
        small = request_of(x=np.zeros((1, 2), np.float32))
        assert client.Predict(small, compression=grpc.Compression.Gzip)
        bomb = request_of(x=np.zeros((10_000_000, 2), np.float32))
        before = program.memory_info().rss
        with pytest.raises(grpc.RpcError) as caught:
            client.Predict(bomb, compression=grpc.Compression.Gzip)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert program.memory_info().rss - before < 40 * 2**20
