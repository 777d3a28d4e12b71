"""Options of the server, which `growgan serve` sets from the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from savedmodels.server.batching import BatchingParameters


@dataclass(frozen=True)
class Limits:
    """Limits on requests.

    Attributes:
        request_bytes: Maximum size in bytes of a REST body or gRPC message.
        samples: Maximum number of samples in a request: the first dimension of its inputs.
        requests: Maximum number of requests at once, for REST and gRPC separately.
        seconds: Time limit in seconds of a REST request, and of any run of a model.
    """

    request_bytes: int = 16 * 2**20
    samples: int = 1024
    requests: int = 64
    seconds: float = 30.0  # as TensorFlow Serving's rest_api_timeout_in_ms


@dataclass(frozen=True)
class Certificate:
    """PEM files of a TLS certificate and its private key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Options:
    """Options of the server.

    Attributes:
        host: Address to listen on.
        grpc_port: Port for gRPC; 0 picks a free one.
        rest_port: Port for REST; 0 picks a free one.
        config: Path of a `models.config`. None reads the one in the repository, and serves
            every model until that file exists.
        limits: Limits on requests.
        poll_seconds: Seconds between two looks at the repository; 0 looks once, at the start.
        grace_seconds: Seconds for running requests to finish when the server stops.
        batching: Parameters of batching across requests; None for one run per request.
        retries: Number of retries after a failed load, `retry_seconds` apart.
        labels_may_wait: True if a new label may name a version that is not available yet.
        warming: True if a version runs its warm-up requests before it becomes available.
        intra_op_threads: Threads inside an operation; 0 lets TensorFlow choose.
        inter_op_threads: Operations that run at once; 0 lets TensorFlow choose.
        token: API token that requests must carry, except those to `/health` and `/openapi.json`;
            None requires no token.
        tls: Certificate of the server; None serves without encryption.
    """

    host: str = "127.0.0.1"  # Only this machine, as the default requires no token.
    grpc_port: int = 8500
    rest_port: int = 8501
    config: Path | None = None
    poll_seconds: float = 1.0
    grace_seconds: float = 30.0
    limits: Limits = field(default_factory=Limits)
    batching: BatchingParameters | None = None
    retries: int = 5  # as in TensorFlow Serving, like `retry_seconds`
    retry_seconds: float = 60.0
    labels_may_wait: bool = False
    warming: bool = True
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    token: str | None = None
    tls: Certificate | None = None
