"""A real server under load, limits, damage, swaps and signals, with clients of others."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

grpc = pytest.importorskip("grpc")
pytest.importorskip("tensorflow_serving", reason="needs the extra `serve`")

import tensorflow as tf  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

pytestmark = pytest.mark.slow
ENDLESS = 2**31 - 1
SLOW = {"signature_name": "slow", "inputs": {"x": [[0, 0]], "turns": ENDLESS}}


def request_of(signature: str = "", **inputs: Any) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


@contextlib.contextmanager
def stub(server: Any) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.05)


@pytest.fixture(name="repository")
def _repository(tmp_path: Path, toy: Path) -> Path:
    """A repository with version 3 of the model `toy`."""
    shutil.copytree(toy / "toy" / "3", tmp_path / "repository" / "toy" / "3")
    return tmp_path / "repository"


def add(repository: Path, source: Path, version: int) -> None:
    """Put a version in place at once, as an atomic publisher does."""
    temporary = repository / ".new"
    shutil.copytree(source, temporary)
    temporary.rename(repository / "toy" / str(version))


def test_no_request_fails_while_versions_are_swapped(
    repository: Path, toy: Path, start: Any
) -> None:
    done = threading.Event()
    faults: list[str] = []
    answered = [0, 0]
    seen: set[int] = set()

    def over_rest(server: Any) -> None:
        while not done.is_set():
            answer = server.predict("toy", {"inputs": [[0, 0]]})
            answered[0] += 1
            if answer.status != 200:
                faults.append(answer.body.decode())

    def over_grpc(server: Any) -> None:
        with stub(server) as client:
            while not done.is_set():
                try:
                    response = client.Predict(request_of(x=np.zeros((1, 2), np.float32)))
                except grpc.RpcError as error:
                    faults.append(str(error))
                else:
                    seen.add(response.model_spec.version.value)
                answered[1] += 1

    with start(repository, "--enable-batching") as server, ThreadPoolExecutor(6) as clients:
        work = [clients.submit(run, server) for run in [over_rest, over_grpc] * 3]
        try:
            for version in range(13, 28):
                add(repository, toy / "toy" / "12", version)
                until(lambda wanted=version: wanted in seen or bool(faults))  # type: ignore[misc]
                for old in (repository / "toy").iterdir():
                    if int(old.name) < version - 1:
                        shutil.rmtree(old)
        finally:
            done.set()
        for one in work:
            one.result()
        states = server.ask("GET", "/v1/models/toy").json["model_version_status"]
    assert faults == []
    assert min(answered) > 15
    assert seen >= set(range(13, 28))
    assert [v["version"] for v in states if v["state"] == "AVAILABLE"] == ["27"]


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
    process = psutil.Process(server.process.pid)
    statuses: dict[int, int] = {}
    memory = 0
    for turn in range(1000):
        body = odd[turn // 2 % len(odd)] if turn % 2 else damaged()
        status = server.predict(chance.choice(paths), body).status
        statuses[status] = statuses.get(status, 0) + 1
        if turn == 300:
            memory = process.memory_info().rss
    assert set(statuses) <= {200, 400, 404}
    assert statuses[400] > 600
    # What is not HTTP at all.
    for turn in range(100):
        with socket.create_connection(("127.0.0.1", server.rest_port)) as raw:
            raw.sendall(chance.randbytes(chance.randint(1, 200)) + b"\r\n\r\n" * (turn % 2))
    assert server.predict("toy", good).status == 200
    assert process.memory_info().rss - memory < 100 * 2**20


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


def openapi() -> dict[str, Any]:
    """The REST API in OpenAPI's words."""
    text, error = {"type": "string"}, {"type": "object", "required": ["error"]}
    path = {"in": "path", "required": True}
    model = {**path, "name": "model", "schema": {"type": "string", "enum": ["toy", "no"]}}
    version = {**path, "name": "version", "schema": {"type": "integer", "minimum": 0}}
    label = {**path, "name": "label", "schema": {**text, "minLength": 1}}

    def content(schema: dict[str, Any]) -> dict[str, Any]:
        return {"description": "", "content": {"application/json": {"schema": schema}}}

    body = {
        "type": "object",
        "properties": {"signature_name": text, "instances": {"type": "array"}, "inputs": {}},
    }
    answers = {code: content(error) for code in ("400", "404", "501")} | {
        "200": content({"type": "object"})
    }
    predict = {
        "post": {
            "requestBody": {"content": {"application/json": {"schema": body}}},
            "responses": answers,
        }
    }
    look = {"get": {"responses": answers}}
    places: dict[str, list[Any]] = {
        "/v1/models/{model}": [model],
        "/v1/models/{model}/versions/{version}": [model, version],
        "/v1/models/{model}/labels/{label}": [model, label],
    }
    paths = {}
    for place, parameters in places.items():
        paths[place] = {**look, "parameters": parameters}
        paths[f"{place}/metadata"] = {**look, "parameters": parameters}
        for method in ("predict", "classify", "regress"):
            paths[f"{place}:{method}"] = {**predict, "parameters": parameters}
    return {"openapi": "3.0.2", "info": {"title": "", "version": "1"}, "paths": paths}


def test_schemathesis_finds_nothing(server: Any) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    base = f"http://127.0.0.1:{server.rest_port}"
    operations = list(schemathesis.openapi.from_dict(openapi()).get_all_operations())
    assert len(operations) == 15
    for operation in operations:
        predicts = "classify" not in operation.ok().path and "regress" not in operation.ok().path
        chosen = wanted if predicts else wanted[1:]  # 501 is what they are to answer.

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(operation.ok().as_strategy(), st.just(chosen))
        def hold(case: Any, chosen: list[Any]) -> None:
            case.call_and_validate(base, checks=chosen)

        hold()


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


def test_batches_answer_each_its_own_and_a_full_queue_refuses(repository: Path, start: Any) -> None:
    options = ("--enable-batching", "--max-batch-size", "8", "--max-enqueued-batches", "2")
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
        answer = server.predict("toy", {"instances": [[0, 0]] * 9})
        assert answer.error == "Task size 9 is larger than maximum input batch size 8"
        # What has scalars for inputs runs by itself.
        assert server.predict("toy", {"signature_name": "scalar", "inputs": 1}).status == 200


def test_limits_and_deadlines(repository: Path, start: Any) -> None:
    options = (
        "--max-requests", "2", "--max-request-bytes", "1000", "--max-samples", "3",
        "--rest-api-timeout-in-ms", "4000",
    )  # fmt: skip
    with start(repository, *options) as server, ThreadPoolExecutor(4) as clients:
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
        late = [clients.submit(server.predict, "toy", SLOW) for _ in range(2)]
        until(lambda: server.predict("toy", {"inputs": [[0, 0]]}).status == 429 or late[0].done())
        for one in late:
            assert one.result().status == 504
            assert one.result().error == "Timed out waiting for notification"
        # Their threads are free again once their runs have been ended.
        until(lambda: server.predict("toy", {"inputs": [[0, 0]]}).status == 200)


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


def test_a_token_is_asked_for(repository: Path, start: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("opensesame\n")
    with start(repository, "--token-file", str(token)) as server, stub(server) as client:
        body = {"inputs": [[0, 0]]}
        assert server.ask("GET", "/health").status == 200
        for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": "opensesame"}):
            for verb, path in (
                ("POST", "/v1/models/toy:predict"),
                ("GET", "/v1/models/toy"),
                ("GET", "/monitoring/prometheus/metrics"),
            ):
                answer = server.ask(verb, path, body if verb == "POST" else None, header)
                assert (answer.status, answer.error) == (401, "A request must bear the API token")
        right = {"Authorization": "Bearer opensesame"}
        assert server.ask("POST", "/v1/models/toy:predict", body, right).status == 200
        request = request_of(x=np.zeros((1, 2), np.float32))
        for metadata in (None, [("authorization", "Bearer x")]):
            with pytest.raises(grpc.RpcError) as caught:
                client.Predict(request, metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert client.Predict(request, metadata=[("authorization", "Bearer opensesame")])


def test_tls(repository: Path, start: Any, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    options = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    with start(repository, *options) as server:
        context = ssl.create_default_context(cafile=str(certificate))
        import urllib.request

        url = f"https://localhost:{server.rest_port}/v1/models/toy"
        with urllib.request.urlopen(url, context=context) as answer:
            assert b"AVAILABLE" in answer.read()
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(f"localhost:{server.grpc_port}", credentials) as channel:
            client = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            assert client.Predict(request_of(x=np.zeros((1, 2), np.float32)))
        with stub(server) as client, pytest.raises(grpc.RpcError):
            client.Predict(request_of(x=np.zeros((1, 2), np.float32)), timeout=20)


def write_warm_up(version: Path, *records: bytes) -> None:
    (version / "assets.extra").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(version / "assets.extra/tf_serving_warmup_requests")) as file:
        for record in records:
            file.write(record)


def test_a_version_is_available_once_it_is_warm(
    repository: Path, toy: Path, start: Any, tmp_path: Path
) -> None:
    entry = prediction_log_pb2.PredictionLog()
    entry.predict_log.request.CopyFrom(request_of(x=np.zeros((1, 2), np.float32)))
    record = entry.SerializeToString()
    write_warm_up(repository / "toy" / "3", record, record)
    bad = {
        13: [b"no message"],
        14: [record] * 1001,
        15: [record.replace(b"x", b"q")],
        16: [prediction_log_pb2.PredictionLog(regress_log={}).SerializeToString()],
    }
    with start(repository) as server:
        page = server.ask("GET", "/monitoring/prometheus/metrics").body.decode()
        assert (
            f'model_warmup_latency_count{{model_path="{repository}/toy/3",status="OK"}} 1' in page
        )
        for version, records in bad.items():
            shutil.copytree(toy / "toy" / "12", tmp_path / str(version))
            write_warm_up(tmp_path / str(version), *records)
            (tmp_path / str(version)).rename(repository / "toy" / str(version))
        path = tmp_path / "17"
        shutil.copytree(toy / "toy" / "12", path)
        (path / "assets.extra").mkdir(exist_ok=True)
        (path / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no records at all")
        path.rename(repository / "toy" / "17")

        def states() -> dict[str, Any]:
            found = server.ask("GET", "/v1/models/toy").json["model_version_status"]
            return {version["version"]: version for version in found}

        until(lambda: states().get("17", {}).get("state") == "END")
        assert states()["17"]["status"]["error_code"] == "DATA_LOSS"
        assert states()["3"]["state"] == "AVAILABLE"
        for version, code in ((16, "UNIMPLEMENTED"), (15, "INVALID_ARGUMENT"),
                              (14, "INVALID_ARGUMENT"), (13, "INVALID_ARGUMENT")):  # fmt: skip
            shutil.rmtree(repository / "toy" / str(version + 1))
            wanted = str(version)
            until(lambda w=wanted: states().get(w, {}).get("state") == "END")  # type: ignore[misc]
            assert states()[wanted]["status"]["error_code"] == code
        assert server.predict("toy", {"inputs": [[0, 0]]}).json == {"outputs": [[3.0, 3.0]]}


def test_a_configuration_is_followed(repository: Path, toy: Path, start: Any) -> None:
    add(repository, toy / "toy" / "12", 12)
    config = repository / "models.config"

    def write(policy: str, label: int) -> None:
        text = (
            'model_config_list { config { name: "t" base_path: "/models/toy" '
            f'model_platform: "tensorflow" model_version_policy {{ {policy} }} '
            f'version_labels {{ key: "stable" value: {label} }} }} }}'
        )
        (repository / ".models.config.new").write_text(text)
        (repository / ".models.config.new").rename(config)

    def stable() -> Any:
        return server.predict("t/labels/stable", {"inputs": [[0, 0]]}).json.get("outputs")

    write("all {}", 3)
    with start(repository) as server:
        assert stable() == [[3.0, 3.0]]
        write("all {}", 12)
        until(lambda: stable() == [[12.0, 12.0]])
        write("specific { versions: 12 }", 12)
        until(lambda: server.ask("GET", "/v1/models/t/versions/3").json["model_version_status"][0]
              ["state"] == "END")  # fmt: skip
        config.write_text("model_config_list { what")
        said = "models.config must be a ModelServerConfig"
        until(lambda: said in server.log.read_text())
        assert stable() == [[12.0, 12.0]]


def test_curl_and_ovmsclient(server: Any) -> None:
    if shutil.which("curl"):
        url = f"http://127.0.0.1:{server.rest_port}/v1/models/toy:predict"
        asked = ["curl", "-sS", "-d", '{"instances": [[1.0, 2.0]]}', "-X", "POST", url]
        found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert json.loads(found) == {"predictions": [[14.0, 16.0]]}
    ovmsclient = pytest.importorskip("ovmsclient", reason="needs ovmsclient")
    x = np.array([[1, 2]], np.float32)
    for make, port in (
        (ovmsclient.make_grpc_client, server.grpc_port),
        (ovmsclient.make_http_client, server.rest_port),
    ):
        client = make(f"127.0.0.1:{port}")
        assert client.get_model_status("toy", 12)[12]["state"] == "AVAILABLE"
        metadata = client.get_model_metadata("toy", 12)
        if make is ovmsclient.make_grpc_client:
            assert metadata["inputs"]["x"]["shape"] == [-1, 2]
        else:  # It knows the keys of another server's metadata only, and hands on what came.
            assert metadata["model_spec"]["version"] == "12"
        for version in (3, 12):
            found = client.predict({"x": x}, "toy", version)
            np.testing.assert_array_equal(found, 2 * x + version)
        with pytest.raises(Exception, match="Servable not found for request"):
            client.predict({"x": x}, "no")


def test_an_exported_generator_answers_as_it_does_without_a_server(
    tmp_path: Path, start: Any
) -> None:
    from pipeline.config import NetworkConfig
    from pipeline.networks.progan import Generator
    from savedmodels.export import export
    from savedmodels.exportable import Exportable

    model = Generator(NetworkConfig(fmap_max=8, latent_size=6), channels=3, label_size=0).model(
        8, fading=False
    )
    folder = export(Exportable(model), tmp_path / "repository" / "8x8", 7, lineage={})
    latents = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    direct = tf.saved_model.load(str(folder)).signatures["serving_default"]
    expected = direct(latents=tf.constant(latents))["images"].numpy()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "8x8"
    request.inputs["latents"].CopyFrom(tf.make_tensor_proto(latents))
    with start(tmp_path / "repository") as server, stub(server) as client:
        over_grpc = tf.make_ndarray(client.Predict(request).outputs["images"])
        over_rest = server.predict("8x8", {"instances": latents.tolist()}).json["predictions"]
        answer = server.predict("8x8", {"instances": [[1, 2, 3]]})
    np.testing.assert_array_equal(over_grpc, expected)
    np.testing.assert_array_equal(np.array(over_rest, np.float32), expected)
    assert answer.status == 400
    assert "`latents` must have the shape (rows, 6). Received: the shape [1 3]" in answer.error
