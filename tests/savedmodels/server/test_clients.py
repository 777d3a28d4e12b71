"""Clients that others wrote, with a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import numpy as np
import ovmsclient
import pytest

pytestmark = pytest.mark.slow


def test_curl_and_ovmsclient(server: Any) -> None:
    if shutil.which("curl"):
        url = f"http://127.0.0.1:{server.rest_port}/v1/models/toy:predict"
        asked = ["curl", "-sS", "-d", '{"instances": [[1.0, 2.0]]}', "-X", "POST", url]
        found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert json.loads(found) == {"predictions": [[14.0, 16.0]]}
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
