"""Service behind REST and gRPC; it knows neither protocol."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from savedmodels.server import json_answers, json_tensors
from savedmodels.server.batching import BatchingParameters
from savedmodels.server.codes import Code, Refused, invalid
from savedmodels.server.metrics import Metrics
from savedmodels.server.model_manager import ModelManager, ModelSpec
from savedmodels.server.predictor import Predictor
from savedmodels.server.servable import Servable, refusal_of
from savedmodels.server.time_left import until
from savedmodels.server.warm_up import warm_up

log = logging.getLogger(__name__)
Array = np.ndarray[Any, Any]
SIGNATURE_DEF = "signature_def"


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
    seconds: float = 30.0


def unable_to(do: str) -> Refused:
    """Make the error for a kind of request that TensorFlow Serving supports and this server not."""
    return Refused(Code.UNIMPLEMENTED, f"This server does not {do}; it does predict")


class Service:
    """Answers to all kinds of requests from the served models.

    Args:
        limits: Limits of a request.
        batching: Parameters of batching across requests; None for one run per request.
        retries: Number of retries after a failed load.
        retry_seconds: Seconds between attempts.
        labels_may_wait: Whether a new label may name a version that is not available yet.
        warming: Whether a version runs its warm-up requests before it becomes available.
        intra_op_threads: Threads within an operation; 0 for TensorFlow's default.
        inter_op_threads: Threads across operations; 0 for TensorFlow's default.
    """

    def __init__(
        self,
        limits: Limits,
        batching: BatchingParameters | None = None,
        *,
        retries: int = 5,
        retry_seconds: float = 60.0,
        labels_may_wait: bool = False,
        warming: bool = True,
        intra_op_threads: int = 0,
        inter_op_threads: int = 0,
    ) -> None:
        self.limits = limits
        self.metrics = Metrics()
        self._batching = batching
        self._warming = warming
        self._threads = intra_op_threads, inter_op_threads
        self.models = ModelManager(
            self._load,
            retries=retries,
            retry_seconds=retry_seconds,
            labels_may_wait=labels_may_wait,
        )

    def predict(
        self,
        spec: ModelSpec,
        signature_name: str,
        inputs: Mapping[str, Array],
        output_filter: Sequence[str],
        deadline: float,
    ) -> tuple[int, dict[str, Array]]:
        """Run a prediction; returns the version and its outputs by name.

        Raises:
            Refused: with TensorFlow Serving's code.
        """
        with self.models.lease(spec) as (version, predictor):
            return version, self._run(
                predictor, spec, signature_name, inputs, output_filter, deadline
            )

    def predict_json(self, spec: ModelSpec, body: bytes, deadline: float) -> bytes:
        """Run the prediction of a REST body; returns the body of the answer.

        Raises:
            Refused: with TensorFlow Serving's code.
        """
        with until(deadline):
            return self._predicted(spec, body, deadline)

    def _predicted(self, spec: ModelSpec, body: bytes, deadline: float) -> bytes:
        document = json_tensors.read_document(body)
        name = document.get("signature_name", "")
        with self.models.lease(spec) as (_, predictor):
            signature = predictor.signature(name, Code.INVALID_ARGUMENT)
            if not signature.inputs:
                raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
            form, inputs = json_tensors.read_tensors(document, signature.inputs)
            outputs = self._run(predictor, spec, name, inputs, (), deadline)
            return json_answers.write_answer(outputs, form)

    def status(self, spec: ModelSpec) -> Any:
        """Make a `GetModelStatusResponse`.

        Raises:
            Refused: NOT_FOUND for an unknown model or version.
        """
        response = get_model_status_pb2.GetModelStatusResponse()
        for health in self.models.health(spec.name, spec.version):
            response.model_version_status.add(
                version=health.version,
                state=int(health.state),
                status={"error_code": int(health.code), "error_message": health.message},
            )
        return response

    def metadata(self, spec: ModelSpec) -> tuple[Any, Any]:
        """Make a `GetModelMetadataResponse`, and return the `SignatureDefMap` in it too.

        Raises:
            Refused: NOT_FOUND, or INVALID_ARGUMENT.
        """
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self.models.lease(spec) as (version, predictor):
            for name, signature in predictor.servable.signature_defs.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name = spec.name
        response.model_spec.version.value = version
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response, signatures

    @contextmanager
    def measured(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Count the prediction in the block, and record its latency if it succeeds.

        Raises:
            Refused: for any exception in the block.
        """
        model = self._known(model)
        start = time.monotonic()
        try:
            yield
        except Exception as error:
            refused = refusal_of(error)
            if refused.code is Code.INTERNAL:
                log.exception("a request for model %s has failed", model)
            self.metrics.count_request(model, refused.code.name)
            raise refused from error
        self.metrics.count_request(model, Code.OK.name)
        seconds = time.monotonic() - start
        self.metrics.add_latency("request_latency", (model, api, entrypoint), seconds)

    def count_refusal(self, model: str, code: Code) -> None:
        """Count a prediction that was refused before `measured` began."""
        self.metrics.count_request(self._known(model), code.name)

    def _known(self, model: str) -> str:
        """Return the name of a known model, or an empty one: made-up names could fill memory."""
        return model if self.models.knows(model) else ""

    def _run(
        self,
        predictor: Predictor,
        spec: ModelSpec,
        signature_name: str,
        inputs: Mapping[str, Array],
        output_filter: Sequence[str],
        deadline: float,
    ) -> dict[str, Array]:
        start = time.monotonic()
        outputs = predictor.predict(
            signature_name, inputs, output_filter, deadline, self.limits.samples
        )
        seconds = time.monotonic() - start
        self.metrics.add_latency("runtime_latency", (spec.name, "Predict", "TF1"), seconds)
        return outputs

    def _load(self, name: str, folder: Path) -> Predictor:
        servable = Servable(folder, self.limits.seconds, *self._threads)
        predictor = Predictor(servable, self._batching)
        if not self._warming:
            return predictor
        start = time.monotonic()
        status = Code.OK.name
        count = 0
        try:
            count = warm_up(predictor, folder)
        except Exception as error:
            status = refusal_of(error).code.name
            predictor.close()
            raise
        finally:
            if count or status != Code.OK.name:
                seconds = time.monotonic() - start
                self.metrics.add_latency("model_warmup_latency", (str(folder), status), seconds)
        return predictor
