"""What a real server does with requests that are damaged, odd or made up."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import random
import socket
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.savedmodels.server.clients import request_of, until

pytestmark = pytest.mark.slow


def test_a_thousand_malformed_requests(server: Any) -> None:
    chance = random.Random(0)
    good = json.dumps({"instances": [[1, 2], [3, 4]]}).encode()

    def damaged() -> bytes:
        body = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(body))
            body[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        return bytes(body)

    odd = [
        b'{"inputs":' + b"[" * 100_000,
        b'{"inputs": ' + b"9" * 100_000 + b"}",
        b'{"instances": [[1, 2], [1]]}',
        b'{"inputs": {"x": {"b64": "*"}}}',
        b'{"inputs": [' + b'"a",' * 100_000 + b"1]}",
        b'{"signature_name": "named", "inputs": {"x": [], "n": [[]]}}',
        b'{"instances": [{}]}',
        b"\xff\xfe\x00",
        b'"' + b"\\ud800" * 1000 + b'"',
    ]
    paths = ["toy", "toy/versions/3", "toy/labels/canary", "toy/labels/%ff", "no", "toy/versions/0"]
    process = server.program
    statuses: dict[int, int] = {}
    memory = threads = 0
    assert server.predict("toy", good).status == 200
    files = process.num_fds() + 1  # That of one request.
    for turn in range(1000):
        body = odd[turn // 2 % len(odd)] if turn % 2 else damaged()
        status = server.predict(chance.choice(paths), body).status
        statuses[status] = statuses.get(status, 0) + 1
        if turn == 300:
            memory, threads = process.memory_info().rss, process.num_threads()
    assert set(statuses) <= {200, 400, 404}
    assert statuses[400] > 600
    # What is not HTTP at all.
    for turn in range(100):
        with socket.create_connection(("127.0.0.1", server.rest_port)) as raw:
            raw.sendall(chance.randbytes(chance.randint(1, 200)) + b"\r\n\r\n" * (turn % 2))
    assert server.predict("toy", good).status == 200
    assert process.memory_info().rss - memory < 20 * 2**20
    assert process.num_threads() - threads <= 8
    until(lambda: process.num_fds() <= files)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["x", "n", "text", "b64", "q"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["", "named", "text", "scalar", "serving_default", "q"]),
    st.sampled_from(["instances", "inputs"]),
    VALUES,
)
def test_any_json_is_answered_or_refused(
    server: Any, signature: str, form: str, value: object
) -> None:
    answer = server.predict("toy", {"signature_name": signature, form: value})
    assert answer.status in (200, 400)
    assert answer.error if answer.status == 400 else answer.json


def damaged(value: object) -> st.SearchStrategy[bytes]:
    """Texts of a value with other bytes put into them."""
    text = json.dumps(value).encode()
    return st.tuples(st.integers(0, len(text)), st.binary(min_size=1, max_size=4)).map(
        lambda change: text[: change[0]] + change[1] + text[change[0] + 1 :]
    )


BODIES = (
    st.binary(max_size=200)
    | damaged({"instances": [[1, 2], [3, 4]]})
    | damaged({"signature_name": "text", "inputs": [{"b64": "aGk="}, "a"]})
    # Lone surrogates, which are no UTF-8 by themselves, and have to be shown in the error.
    | st.builds(
        lambda name, ascii_only: json.dumps(
            {"signature_name": name, "inputs": 1}, ensure_ascii=ascii_only
        ).encode("utf-8", "surrogatepass"),
        st.text("aé\ud83d\ude00\udcff", max_size=5),
        st.booleans(),
    )
    | st.integers(1, 3000).map(lambda depth: b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}")
    | st.binary().map(gzip.compress)
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(bodies=st.lists(BODIES, min_size=1, max_size=5), packed=st.booleans())
def test_any_bytes_are_answered_on_a_connection_that_stays(
    server: Any, bodies: list[bytes], packed: bool
) -> None:
    headers = {"Content-Encoding": "gzip"} if packed else {}
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port)
    connection.connect()
    connection.auto_open = False  # A connection that is closed is an error.
    with contextlib.closing(connection):
        for body in bodies:
            connection.request("POST", "/v1/models/toy:predict", body, headers)
            answer = connection.getresponse()
            assert answer.status in (200, 400)
            [(key, found)] = json.loads(answer.read().decode("utf-8")).items()
            assert answer.status == 200 or (key == "error" and isinstance(found, str))


def test_malformed_messages_over_grpc(server: Any) -> None:
    chance = random.Random(1)
    good = request_of(x=np.ones((1, 2), np.float32)).SerializeToString()
    codes: set[str] = set()
    with grpc.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            request_serializer=None,
            response_deserializer=None,
        )
        for _ in range(500):
            body = bytearray(good)
            for _ in range(chance.randint(1, 3)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            try:
                call(bytes(body))
                codes.add("OK")
            except grpc.RpcError as error:
                codes.add(error.code().name)
        # gRPC answers INTERNAL, or UNKNOWN, to what is no message at all.
        assert codes <= {
            "OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL", "UNKNOWN",
        }  # fmt: skip
        assert call(good)
    assert server.process.poll() is None
    assert "Traceback" not in server.log.read_text()
