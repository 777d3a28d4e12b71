"""Service that answers the requests of both APIs, REST and gRPC, independent of their transport."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from savedmodels.server import json_answers, json_tensors
from savedmodels.server.codes import Code, Refused, invalid
from savedmodels.server.metrics import Metrics
from savedmodels.server.model_manager import ModelManager, ModelSpec
from savedmodels.server.options import Options
from savedmodels.server.predictor import Predictor
from savedmodels.server.servable import Servable, refusal_of
from savedmodels.server.time_left import set_deadline
from savedmodels.server.warm_up import warm_up

log = logging.getLogger(__name__)
Array = np.ndarray[Any, Any]
SIGNATURE_DEF = "signature_def"  # Key of the signatures in TensorFlow Serving's metadata.


def unable_to(action: str) -> Refused:
    """Make the error for an action that TensorFlow Serving supports and this server does not."""
    return Refused(Code.UNIMPLEMENTED, f"This server does not {action}; it does predict")


class Service:
    """Served models with a method for each kind of request, which raises `Refused` for errors."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.limits = options.limits
        self.metrics = Metrics()
        self.models = ModelManager(
            self._load,
            retries=options.retries,
            retry_seconds=options.retry_seconds,
            labels_may_wait=options.labels_may_wait,
        )

    def predict(
        self,
        spec: ModelSpec,
        signature_name: str,
        inputs: Mapping[str, Array],
        output_filter: Sequence[str],
        deadline: float,
    ) -> tuple[int, dict[str, Array]]:
        """Run a prediction; return the version's number and the outputs by name."""
        with self.models.lease(spec) as (version, predictor), self._timed_run(spec.name):
            return version, predictor.predict(
                signature_name, inputs, output_filter, deadline, self.limits.samples
            )

    def predict_json(self, spec: ModelSpec, body: bytes, deadline: float) -> bytes:
        """Run the prediction that a REST body asks for; return the body of the answer."""
        with set_deadline(deadline):
            document = json_tensors.read_document(body)
            name = document.get("signature_name", "")
            # Lease the version before the tensors are read, because its signature has their types.
            with self.models.lease(spec) as (_, predictor):
                signature = predictor.signature(name, Code.INVALID_ARGUMENT)
                if not signature.inputs:
                    raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
                form, inputs = json_tensors.read_tensors(document, signature.inputs)
                with self._timed_run(spec.name):
                    outputs = predictor.predict(name, inputs, (), deadline, self.limits.samples)
                return json_answers.write_answer(outputs, form)

    def status(self, spec: ModelSpec) -> Any:
        """Make a `GetModelStatusResponse` for one version, or for all if no number is given."""
        response = get_model_status_pb2.GetModelStatusResponse()
        # Ignore the label, as TensorFlow Serving does.
        for health in self.models.health(spec.name, spec.version):
            response.model_version_status.add(
                version=health.version,
                state=int(health.state),
                status={"error_code": int(health.code), "error_message": health.message},
            )
        return response

    def metadata(self, spec: ModelSpec) -> tuple[Any, Any]:
        """Make a `GetModelMetadataResponse`; return it and the `SignatureDefMap` packed in it."""
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
        """Count the block's prediction, record its latency, and convert its errors to `Refused`."""
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
        # Count unknown models as one: made-up names could fill the memory with counters.
        return model if self.models.knows(model) else ""

    @contextmanager
    def _timed_run(self, model: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        seconds = time.monotonic() - start
        self.metrics.add_latency("runtime_latency", (model, "Predict", "TF1"), seconds)

    def _load(self, name: str, folder: Path) -> Predictor:
        options = self.options
        servable = Servable(
            folder, self.limits.seconds, options.intra_op_threads, options.inter_op_threads
        )
        predictor = Predictor(servable, options.batching)
        if not options.warming:
            return predictor
        start = time.monotonic()
        status = Code.OK.name
        count = 0
        try:
            count = warm_up(predictor, folder)
        except Exception as error:
            status = refusal_of(error).code.name
            predictor.close()  # Free it here, as the manager never gets it.
            raise
        finally:
            # Record no latency for a version without warm-up requests.
            if count or status != Code.OK.name:
                seconds = time.monotonic() - start
                self.metrics.add_latency("model_warmup_latency", (str(folder), status), seconds)
        return predictor
