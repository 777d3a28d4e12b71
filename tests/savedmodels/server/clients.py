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
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

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


def record_of(request: Any) -> bytes:
    """A record of a warm-up file."""
    entry = prediction_log_pb2.PredictionLog()
    entry.predict_log.request.CopyFrom(request)
    return bytes(entry.SerializeToString())


def write_warm_up(version: Path, *records: bytes) -> None:
    """Give a version requests to answer before it is available."""
    (version / "assets.extra").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(version / "assets.extra/tf_serving_warmup_requests")) as file:
        for record in records:
            file.write(record)


def add(repository: Path, source: Path, version: int) -> None:
    """Put a version in place at once, as an atomic publisher does."""
    temporary = repository / ".new"
    shutil.copytree(source, temporary)
    temporary.rename(repository / "toy" / str(version))
