"""What tests ask a server with: requests over gRPC, new versions, and waits."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

ENDLESS = 2**31 - 1
SLOW = {"signature_name": "slow", "inputs": {"x": [[0, 0]], "turns": ENDLESS}}
"""A request that only a limit on time ends."""


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
    """Wait for it; far longer than it can take, a test fails rather than hang."""
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def add(repository: Path, source: Path, version: int) -> None:
    """Put a version in place at once, as an atomic publisher does."""
    temporary = repository / ".new"
    shutil.copytree(source, temporary)
    temporary.rename(repository / "toy" / str(version))
