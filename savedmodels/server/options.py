"""Options of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from savedmodels.server.batching import BatchingParameters


@dataclass(frozen=True)
class Limits:
    """Limits of one request.

    Attributes:
        request_bytes: Largest body or message, in bytes.
        samples: Largest first dimension of an input.
        requests: Most requests at once, for REST and gRPC separately.
        seconds: Time limit of a REST request, and of any run of a model, in seconds.
    """

    request_bytes: int = 16 * 2**20
    samples: int = 1024
    requests: int = 64
    seconds: float = 30.0  # as TensorFlow Serving's rest_api_timeout_in_ms


@dataclass(frozen=True)
class Certificate:
    """PEM files for TLS."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Options:
    """Options of a server.

    Attributes:
        grpc_port: Port for gRPC; 0 picks a free one, as for REST.
        config: Path of a `models.config`. None reads the one in the repository, and serves
            every model until that file exists.
        poll_seconds: Seconds between two looks at the repository; 0 looks once, at the start.
        grace_seconds: Seconds for running requests to finish when the server stops.
        batching: Parameters of batching across requests; None for one run per request.
        retries: Number of retries after a failed load, `retry_seconds` apart.
        labels_may_wait: True if a new label may name a version that is not available yet.
        warming: True if a version runs its warm-up requests before it becomes available.
        intra_op_threads: Threads within an operation; 0 for TensorFlow's default.
        inter_op_threads: Threads across operations; 0 for TensorFlow's default.
        token: API token that requests must carry, but for health and description; None for none.
        tls: Certificate of the server; None serves without encryption.
    """

    host: str = "127.0.0.1"  # no authentication by default, so only this machine
    grpc_port: int = 8500
    rest_port: int = 8501
    config: Path | None = None
    poll_seconds: float = 1.0
    grace_seconds: float = 30.0
    limits: Limits = field(default_factory=Limits)
    batching: BatchingParameters | None = None
    retries: int = 5  # this and the pause are TensorFlow Serving's
    retry_seconds: float = 60.0
    labels_may_wait: bool = False
    warming: bool = True
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    token: str | None = None
    tls: Certificate | None = None
