"""Small SavedModels, and `growgan serve` in processes of its own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

SHARED_FIXTURES = ("server",)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        [(key, message)] = self.json.items()
        assert key == "error"
        return str(message)


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    rest_port: int
    grpc_port: int
    log: Path

    @property
    def program(self) -> psutil.Process:
        """The process that listens; `process` may be a stand-in for it."""
        [found] = {
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == self.rest_port
        }
        return psutil.Process(found)

    def ask(
        self, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own; a body that is no text is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=120)
        sent = body if isinstance(body, bytes | str | None) else json.dumps(body)
        try:
            connection.request(verb, path, sent, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def predict(self, model: str, body: Any) -> Answer:
        return self.ask("POST", f"/v1/models/{model}:predict", body)

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"


@contextmanager
def run_server(repository: Path, *options: str, python: str = sys.executable) -> Iterator[Server]:
    """`growgan serve` on free ports, which is ready when the block begins."""
    pytest.importorskip("uvicorn", reason="needs the extra `serve`")
    pytest.importorskip("tensorflow_serving", reason="needs the extra `serve`")
    log = repository.parent / f"{repository.name}-{os.urandom(4).hex()}.log"
    command = [python, "-m", "pipeline.cli", "serve", str(repository)]
    ports = ["--port", "0", "--rest-api-port", "0"]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*command, *ports, *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving "), log.read_text()
        rest, grpc = (
            int(part.rpartition(":")[2]) for part in line.rpartition("REST")[2].split(",")
        )
        try:
            yield Server(process, rest, grpc, log)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0, log.read_text()
        finally:
            process.kill()


@pytest.fixture(scope="session")
def start(python: str) -> Callable[..., Any]:
    """Start a server on a repository, with options of the command line, as a fork."""
    return partial(run_server, python=python)


@pytest.fixture(scope="session")
def start_anew() -> Callable[..., Any]:
    """Start a server in a new interpreter, whose process is the server itself."""
    return run_server


@pytest.fixture(scope="session")
def save() -> Callable[[Path, int], None]:
    """Saves a version of a small model, whose answers tell the version."""
    import tensorflow as tf

    def write(folder: Path, version: int) -> None:
        module = tf.Module()
        module.version = tf.Variable(float(version))
        rows = tf.TensorSpec((None, 2), tf.float32, "x")

        def scale(x: Any) -> dict[str, Any]:
            return {"y": x * 2.0 + module.version}

        def named(x: Any, n: Any) -> dict[str, Any]:
            tf.debugging.assert_non_negative(n, "`n` must not be negative")
            return {"sum": tf.reduce_sum(x, 1) + tf.cast(n, tf.float32), "n": n}

        def text(text: Any) -> dict[str, Any]:
            return {
                "image_bytes": tf.strings.join([b"\xff", text]),
                "size": tf.strings.length(text),
            }

        def scalar(seed: Any) -> dict[str, Any]:
            return {"value": seed + 1, "text": tf.strings.as_string(seed)}

        def slow(x: Any, turns: Any) -> dict[str, Any]:
            def turn(i: Any, sum: Any) -> tuple[Any, Any]:
                return i + 1, sum + 1.0

            zero = tf.constant(0), tf.zeros_like(x)
            _, sums = tf.while_loop(lambda i, _: i < turns, turn, zero)
            return {"y": sums}

        twice = tf.constant(2.0)

        def optional(x: Any, bias: Any, scale: Any = twice) -> dict[str, Any]:
            return {"y": x * scale + bias}

        spec = tf.TensorSpec
        int32 = tf.int32
        signatures = {
            "serving_default": tf.function(scale, input_signature=[rows]),
            "named": tf.function(named, input_signature=[rows, spec((None,), int32, "n")]),
            "text": tf.function(text, input_signature=[spec((None,), tf.string, "text")]),
            "scalar": tf.function(scalar, input_signature=[spec((), tf.int64, "seed")]),
            "slow": tf.function(slow, input_signature=[rows, spec((), int32, "turns")]),
            "optional": tf.function(
                optional,
                input_signature=[rows, spec((None, 1), tf.float32, "bias"), spec((), name="scale")],
            ),
        }
        module.functions = list(signatures.values())
        temporary = folder / f".{version}"
        tf.saved_model.save(module, str(temporary), signatures)
        temporary.rename(folder / str(version))

    return write


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory, save: Callable[[Path, int], None]) -> Path:
    """A repository with versions 3 and 12 of the model `toy`."""
    repository = tmp_path_factory.mktemp("repository")
    (repository / "toy").mkdir()
    for version in (3, 12):
        save(repository / "toy", version)
    return repository


@pytest.fixture
def repository(tmp_path: Path, toy: Path) -> Path:
    """A repository with version 3 of the model `toy`."""
    shutil.copytree(toy / "toy" / "3", tmp_path / "repository" / "toy" / "3")
    return tmp_path / "repository"


@pytest.fixture(scope="session")
def server(toy: Path, python: str) -> Iterator[Server]:
    """A server of the model `toy` with both of its versions, and labels for them."""
    config = toy / "models.config"
    config.write_text(
        "model_config_list { config {"
        f'  name: "toy" base_path: "{toy}/toy" model_platform: "tensorflow"'
        "  model_version_policy { all {} }"
        '  version_labels { key: "stable" value: 3 } version_labels { key: "canary" value: 12 }'
        "} }"
    )
    with run_server(toy, python=python) as running:
        yield running
