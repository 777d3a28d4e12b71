"""Versions and configurations that come and go under a real server."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import prediction_log_pb2

from tests.savedmodels.server.clients import (
    add,
    record_of,
    request_of,
    stub,
    until,
    write_warm_up,
)

pytestmark = pytest.mark.slow


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


def test_a_version_is_available_once_it_is_warm(
    repository: Path, toy: Path, start: Any, start_anew: Any, tmp_path: Path
) -> None:
    record = record_of(request_of(x=np.zeros((1, 2), np.float32)))
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
    threads = ("--tensorflow-intra-op-parallelism", "150", "--tensorflow-inter-op-parallelism=150")
    with start_anew(repository, "--no-enable-model-warmup", *threads) as server:
        assert server.predict("toy", {"inputs": [[0, 0]]}).json == {"outputs": [[12.0, 12.0]]}
        tasks = Path(f"/proc/{server.program.pid}/task")
        assert not tasks.exists() or len(list(tasks.iterdir())) > 300


def test_a_configuration_is_followed(repository: Path, toy: Path, start: Any) -> None:
    add(repository, toy / "toy" / "12", 12)
    (repository / "toy").rename(repository.parent / "toy")
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

    def health() -> Any:
        answer = server.ask("GET", "/health")
        return answer.status, answer.json

    with start(repository) as server:
        assert health() == (200, {"status": "OK"})  # No model is missing.
        (repository.parent / "toy").rename(repository / "toy")
        answer = {"outputs": [[12.0, 12.0]]}
        until(lambda: server.predict("toy", {"inputs": [[0, 0]]}).json == answer)
        (repository / "broken" / "1").mkdir(parents=True)
        until(lambda: health() == (503, {"error": "No version is available of: broken"}))
        write("all {}", 3)  # As a first version is published.
        until(lambda: stable() == [[3.0, 3.0]])
        assert health() == (200, {"status": "OK"})
        write("all {}", 12)
        until(lambda: stable() == [[12.0, 12.0]])
        write("specific { versions: 12 }", 12)
        until(lambda: server.ask("GET", "/v1/models/t/versions/3").json["model_version_status"][0]
              ["state"] == "END")  # fmt: skip
        write("specific { versions: 3 }", 3)
        said = "Request to assign label to version 3 of model t"
        until(lambda: said in server.log.read_text())
        assert stable() == [[12.0, 12.0]]
        config.write_text("model_config_list { what")
        said = "models.config must be a ModelServerConfig"
        until(lambda: said in server.log.read_text())
        assert stable() == [[12.0, 12.0]]
