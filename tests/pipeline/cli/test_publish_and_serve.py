"""From pictures to clients: train, export, verify, publish, serve, publish again, and go back."""

from __future__ import annotations

import base64
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.savedmodels.server.conftest import Server, run_server

grpc = pytest.importorskip("grpc", reason="needs the extra `serve`")
pytest.importorskip("tensorflow_serving", reason="needs the extra `serve`")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked")]
STABLE = "faces/labels/stable"
PAUSE = 0.02
"""Seconds between the requests of a client, so that other processes have some of the processor."""


def growgan(*words: object) -> list[str]:
    """What a command in a process of its own says; it must end with status 0."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def images_of_run(run: Path, images_seen: int, latents: NDArray[np.float32]) -> NDArray[np.float32]:
    from pipeline.training_run.folder import RunFolder
    from pipeline.training_run.networks import SavedNetworks

    folder = RunFolder(run)
    images = SavedNetworks(folder, folder.checkpoint(images_seen)).average()(latents).numpy()
    return images.clip(-1, 1)


def over_rest(server: Server, model: str, **asked: Any) -> Any:
    answer = server.predict(model, asked)
    assert answer.status == 200, answer.body
    return answer.json["outputs"]


def over_grpc(channel: Any, signature: str, **inputs: Any) -> tuple[int, NDArray[Any]]:
    """The version that `stable` stands at, and its only output."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "faces"
    request.model_spec.version_label = "stable"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)
    [output] = response.outputs.values()
    return response.model_spec.version.value, tf.make_ndarray(output)


@dataclass
class Clients:
    """What clients that ask all the time were answered."""

    answered: int = 0
    versions: set[int] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def asking(server: Server, latents: NDArray[np.float32]) -> Iterator[Clients]:
    """Ask `stable` for images over both protocols until the block ends; none may fail."""
    clients = Clients()

    def rest() -> None:
        while not clients.ended.wait(PAUSE):
            over_rest(server, STABLE, inputs=latents.tolist())
            clients.answered += 1

    def rpc() -> None:
        with grpc.insecure_channel(server.grpc) as channel:
            while not clients.ended.wait(PAUSE):
                version, _ = over_grpc(channel, "serving_default", latents=latents)
                clients.versions.add(version)
                clients.answered += 1

    with ThreadPoolExecutor(2) as pool:
        work: list[Future[None]] = [pool.submit(rest), pool.submit(rpc)]
        try:
            yield clients
            assert not any(each.done() for each in work)
        finally:
            clients.ended.set()
        for each in work:
            each.result()


def test_a_run_is_served_replaced_and_brought_back(workspace: Path, tmp_path: Path) -> None:
    run, second, repository = workspace / "run", tmp_path / "second", tmp_path / "models"
    # What training has exported already is kept.
    newest = run / "savedmodels" / "8x8" / "256"
    assert growgan("export", run) == [f"SavedModel: {newest}"]
    *_, verdict = growgan("verify", newest, "--runs", 2)
    assert (
        verdict == f"verify: {newest} passed: every answer equals that of the export, bit for bit"
    )
    words = ("--model", "faces")
    assert growgan("publish", run, repository, *words, "--no-verify") == [
        f"published: {repository}/faces/1",
        f"servers read: {repository}/models.config",
    ]
    latents = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    of_first, of_second = (images_of_run(run, images, latents) for images in (256, 192))
    assert not np.array_equal(of_first, of_second)

    with run_server(repository) as server, grpc.insecure_channel(server.grpc) as channel:
        to = ("--server", f"http://127.0.0.1:{server.rest_port}")
        labelled = growgan("publish", run, repository, *words, "--label", "stable", *to)
        assert labelled[:2] == [
            f"there already, with the same content: {repository}/faces/1",
            "stable: stands at version 1",
        ]

        version, images = over_grpc(channel, "serving_default", latents=latents)
        assert version == 1
        np.testing.assert_array_equal(images, of_first)
        images = over_rest(server, STABLE, inputs=latents.tolist())
        np.testing.assert_array_equal(np.array(images, np.float32), of_first)

        growgan("generate", run, "--seeds", "7-8", "--files", tmp_path / "drawn")
        drawn = [Image.open(file) for file in sorted((tmp_path / "drawn").iterdir())]
        _, pngs = over_grpc(channel, "generate_png", seed=np.int64(7), count=np.int64(2))
        assert len(pngs) == len(drawn) == 2
        for png, expected in zip(pngs, drawn, strict=True):
            with Image.open(io.BytesIO(png)) as image:
                assert (image.format, image.size) == ("PNG", (8, 8))
                np.testing.assert_array_equal(np.array(image), np.array(expected))
        asked = {"signature_name": "generate_png", "inputs": {"seed": 7, "count": 2}}
        decoded = [
            Image.open(io.BytesIO(base64.b64decode(each["b64"])))
            for each in over_rest(server, STABLE, **asked)
        ]
        for image, expected in zip(decoded, drawn, strict=True):
            np.testing.assert_array_equal(np.array(image), np.array(expected))

        with asking(server, latents) as clients:
            earlier = ("--checkpoint", 192, "--signatures", "generate_png", "--out", second)
            growgan("export", run, *earlier)
            replaced = growgan(
                "publish", second / "192", repository, *words, "--label", "stable", *to
            )
            assert "verified: every answer equals that of the export, bit for bit" in replaced
            assert f"published: {repository}/faces/2" in replaced
            assert "stable: stands at version 2" in replaced
            version, images = over_grpc(channel, "serving_default", latents=latents)
            assert version == 2
            np.testing.assert_array_equal(images, of_second)
            before = clients.answered
            back = growgan("publish", repository, *words, "--rollback", *to)
            assert back[0] == "stable: stands at version 1"
        assert clients.versions == {1, 2}
        assert clients.answered > before > 20

        version, images = over_grpc(channel, "serving_default", latents=latents)
        assert version == 1
        np.testing.assert_array_equal(images, of_first)


def test_the_first_picture_of_the_docs(workspace: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "serving.md").read_text()
    commands = page.partition("## A first picture")[2].split("```")[1]
    assert commands.count("8501") == 2
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    commands = commands.replace("8501", port)
    commands = commands.replace("serve ", f"serve --port 0 --rest-api-port {port} ")
    served = tmp_path / "runs" / "demo" / "savedmodels" / "16x16"
    shutil.copytree(workspace / "run" / "savedmodels" / "8x8", served)
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        check=True,
        timeout=120,
    )
    with Image.open(tmp_path / "seven.png") as image:
        assert (image.format, image.size) == ("PNG", (8, 8))
