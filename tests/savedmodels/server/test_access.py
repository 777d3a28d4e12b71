"""Who a real server lets in: tokens, and TLS."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.savedmodels.server.clients import request_of, stub

pytestmark = pytest.mark.slow


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
                assert (answer.status, answer.error) == (401, "A request must carry the API token")
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
