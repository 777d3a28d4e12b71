"""The REST API of a real server: answers, and TensorFlow Serving's statuses and errors."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import psutil
import pytest


def test_predictions_by_rows_and_by_columns(server: Any) -> None:
    answer = server.predict("toy", {"instances": [[1, 2], [3, 4.5]]})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {"predictions": [[14.0, 16.0], [18.0, 21.0]]}
    assert server.predict("toy", {"inputs": [[1, 2]]}).json == {"outputs": [[14.0, 16.0]]}
    named = {"signature_name": "named", "instances": [{"x": [1, 2], "n": 3}, {"x": [0, 0], "n": 1}]}
    assert server.predict("toy", named).json == {
        "predictions": [{"n": 3, "sum": 6.0}, {"n": 1, "sum": 1.0}]
    }
    columns = {"signature_name": "named", "inputs": {"x": [[1, 2]], "n": [3]}}
    assert server.predict("toy", columns).json == {"outputs": {"n": [3], "sum": [6.0]}}
    scalar = {"signature_name": "scalar", "inputs": 41}
    assert server.predict("toy", scalar).json == {"outputs": {"text": "41", "value": 42}}


def test_versions_and_labels(server: Any) -> None:
    for where, expected in (
        ("", 12.0),
        ("/versions/3", 3.0),
        ("/versions/12", 12.0),
        ("/labels/stable", 3.0),
        ("/labels/canary", 12.0),
    ):
        assert server.predict(f"toy{where}", {"inputs": [[0, 0]]}).json["outputs"] == [
            [expected, expected]
        ]


def test_bytes_go_both_ways_as_base64(server: Any) -> None:
    raw = b"\x00\xfe"
    request = {"signature_name": "text", "instances": [{"b64": base64.b64encode(raw).decode()}]}
    coded = base64.b64encode(b"\xff" + raw).decode()
    assert server.predict("toy", request).json == {
        "predictions": [{"image_bytes": {"b64": coded}, "size": 2}]
    }


def test_bodies_may_come_packed_and_answers_do_not(server: Any) -> None:
    path, packed = "/v1/models/toy:predict", {"Content-Encoding": "gzip"}
    body = gzip.compress(b'{"inputs": [[1, 2]]}')
    answer = server.ask("POST", path, body, packed | {"Accept-Encoding": "gzip"})
    assert answer.json == {"outputs": [[14.0, 16.0]]}
    assert "content-encoding" not in answer.headers
    # TensorFlow Serving takes what it cannot unpack for nothing.
    for damaged in (b"{}", body[:-1], body[:-5] + b"\0" + body[-4:], body + body, body + b"x", b""):
        answer = server.ask("POST", path, damaged, packed)
        assert (answer.status, answer.error) == (400, "JSON Parse error: The document is empty")
    answer = server.ask("POST", path, body, {"Content-Encoding": "deflate"})
    assert answer.status == 400
    assert answer.error.startswith("JSON Parse error: ")


def test_a_body_is_unpacked_up_to_the_limit_alone(server: Any) -> None:
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    bomb = gzip.compress(bytes(500 * 2**20), 1)
    answer = server.ask("POST", "/v1/models/toy:predict", bomb, {"Content-Encoding": "gzip"})
    assert answer.status == 413
    assert answer.error == "The body of a request must have at most 16777216 bytes"
    assert process.memory_info().rss - before < 200 * 2**20


def test_numbers_that_are_none_go_both_ways(server: Any) -> None:
    answer = server.predict("toy", b'{"inputs": [[NaN, -Infinity]]}')
    assert b"[[NaN, -Infinity]]" in answer.body


def body_of(signature: str, **inputs: Any) -> dict[str, Any]:
    return {"signature_name": signature, **inputs}


@pytest.mark.parametrize(
    ("path", "body", "status", "beginning"),
    [
        ("nope", {"instances": [1]}, 404, "Servable not found for request: Latest(nope)"),
        (
            "toy/versions/99",
            {"inputs": 1},
            404,
            "Servable not found for request: Specific(toy, 99)",
        ),
        ("toy/labels/x", {"instances": [1]}, 400, "Unrecognized servable version label: x"),
        ("toy", body_of("x", inputs=1), 400, 'Serving signature name: "x" not found in signature'),
        ("toy", body_of("\xff", inputs=1), 400, 'Serving signature name: "\xff" not found'),
        ("toy", body_of("__saved_model_init_op", inputs=1), 400, "Failed to get input map for"),
        ("toy", b"", 400, "JSON Parse error: The document is empty"),
        ("toy", b"instances = [1]", 400, "JSON Parse error: "),
        # A body is read before a model is looked for.
        ("nope", b"[1", 400, "JSON Parse error: "),
        ("toy", [1], 400, "JSON Value: "),
        ("toy", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("toy", {"instances": 1}, 400, "JSON Value: "),
        ("toy", {"instances": []}, 400, "JSON Value: "),
        ("toy", {"instances": [], "inputs": []}, 400, "JSON Value: "),
        ("toy", {"instances": [["a", "b"]]}, 400, "Failed to process element: 0 of 'instances'"),
        (
            "toy",
            body_of("named", inputs={"x": [[1, 2]]}),
            400,
            "Missing named input: n in 'inputs'",
        ),
        # JSON has to name every input, also those with a default.
        (
            "toy",
            body_of("optional", inputs={"x": [[1, 2]], "bias": [[0]]}),
            400,
            "Missing named input: scale in 'inputs' object.",
        ),
        (
            "toy",
            body_of("optional", instances=[{"x": [1, 2], "bias": [0]}]),
            400,
            "Failed to process element: 0 of 'instances' list. ",
        ),
    ],
)
def test_errors(server: Any, path: str, body: Any, status: int, beginning: str) -> None:
    answer = server.predict(path, body)
    assert answer.status == status
    assert answer.error.startswith(beginning)


def test_errors_of_the_graph_keep_their_code(server: Any) -> None:
    negative = {"signature_name": "named", "inputs": {"x": [[1, 2]], "n": [-1]}}
    answer = server.predict("toy", negative)
    assert answer.status == 400
    assert "`n` must not be negative" in answer.error
    unequal = {"signature_name": "named", "inputs": {"x": [[1, 2], [3, 4]], "n": [1, 2, 3]}}
    answer = server.predict("toy", unequal)
    assert answer.status == 400
    assert "Incompatible shapes: [3] vs. [2]" in answer.error


@pytest.mark.parametrize(
    ("verb", "path", "status", "message"),
    [
        ("GET", "/v1/models/nope", 404, "Could not find any versions of model nope"),
        ("GET", "/v1/models/toy/versions/9", 404, "Could not find version 9 of model toy"),
        ("GET", "/v1/models/nope/metadata", 404, "Servable not found for request: Latest(nope)"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("PUT", "/v1/models/toy:predict", 400, "Malformed request: PUT /v1/models/toy:predict"),
        ("GET", "/", 404, "Not Found"),
        ("POST", "/v1/models/toy:classify", 501, "This server does not classify; it does predict"),
    ],
)
def test_errors_of_paths(server: Any, verb: str, path: str, status: int, message: str) -> None:
    answer = server.ask(verb, path)
    assert (answer.status, answer.error) == (status, message)


def test_status(server: Any) -> None:
    fine = {"error_code": "OK", "error_message": ""}
    newest = {"version": "12", "state": "AVAILABLE", "status": fine}
    older = {"version": "3", "state": "AVAILABLE", "status": fine}
    for path, expected in (
        ("/v1/models/toy", [newest, older]),
        ("/V1/Models/toy", [newest, older]),
        ("/v1/models/toy/versions/3", [older]),
        # TensorFlow Serving does not look at the label either.
        ("/v1/models/toy/labels/stable", [newest, older]),
    ):
        assert server.ask("GET", path).json == {"model_version_status": expected}


def test_metadata(server: Any) -> None:
    found = server.ask("GET", "/v1/models/toy/labels/stable/metadata").json
    assert found["model_spec"] == {"name": "toy", "signature_name": "", "version": "3"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "named", "text"} <= set(signatures)
    x = signatures["serving_default"]["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert [size["size"] for size in x["tensor_shape"]["dim"]] == ["-1", "2"]
    assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"


def test_health_and_metrics(server: Any) -> None:
    assert server.ask("GET", "/health").json == {"status": "OK"}
    before = server.ask("GET", "/monitoring/prometheus/metrics")
    assert before.headers["content-type"] == "text/plain"
    server.predict("made-up", {"instances": [1]})
    page = server.ask("GET", "/monitoring/prometheus/metrics").body.decode()
    assert ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"}' in page
    assert "made-up" not in page


def test_a_connection_is_kept(server: Any) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port)
    for _ in range(3):
        connection.request("POST", "/v1/models/toy:predict", json.dumps({"inputs": [[0, 0]]}))
        assert json.loads(connection.getresponse().read()) == {"outputs": [[12.0, 12.0]]}
    connection.close()
