"""gRPC API: TensorFlow Serving's PredictionService and ModelService over our `Service`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from savedmodels.server.arrivals import Arrivals
from savedmodels.server.codes import invalid
from savedmodels.server.model_config import models_of
from savedmodels.server.model_manager import ModelSpec
from savedmodels.server.options import Limits
from savedmodels.server.rest import has_token, unauthenticated
from savedmodels.server.servable import refusal_of
from savedmodels.server.service import SIGNATURE_DEF, Service, unable_to
from savedmodels.server.signature import DEFAULT_SIGNATURE
from savedmodels.server.tensor_protos import arrays_of_protos

MESSAGE_SECONDS = 20.0
"""Seconds for a request's message to arrive after its head; honest clients need only moments."""
_STATUS = {status.value[0]: status for status in grpc.StatusCode}


def make_grpc_server(service: Service, repository: Path) -> grpc.Server:
    """Make a gRPC server without a port; `repository` is searched for missing base paths."""
    limits, token = service.limits, service.options.token
    # Use twice as many threads: `Arrivals` must drop the oldest before gRPC refuses new requests.
    threads = 2 * limits.requests + 1
    server = grpc.server(
        ThreadPoolExecutor(threads, "grpc"),
        maximum_concurrent_rpcs=threads,
        interceptors=[_RequestLimit(limits), *([] if token is None else [_TokenCheck(token)])],
        options=[
            ("grpc.max_receive_message_length", limits.request_bytes),
            # Do not limit answers: images are far larger than the latents they are made from.
            ("grpc.max_send_message_length", -1),
            # Do not share a port, or a second server on it would go unnoticed.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(service), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        _ModelService(service, repository), server
    )
    return server


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: Service) -> None:
        self._service = service

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        name = request.model_spec.name
        with _abort_on_error(context), self._service.measured(name, "Predict", "GRPC"):
            spec = _read_spec(request)
            inputs = arrays_of_protos(request.inputs, self._service.limits.request_bytes)
            signature = request.model_spec.signature_name
            remaining = context.time_remaining()
            deadline = float("inf") if remaining is None else time.monotonic() + remaining
            version, outputs = self._service.predict(
                spec, signature, inputs, request.output_filter, deadline
            )
            response = predict_pb2.PredictResponse()
            response.model_spec.name = name
            response.model_spec.version.value = version
            response.model_spec.signature_name = signature or DEFAULT_SIGNATURE
            for output, array in outputs.items():
                response.outputs[output].CopyFrom(tf.make_tensor_proto(array))
            return response

    def Classify(self, request: Any, context: grpc.ServicerContext) -> None:
        self._refuse(request, "Classify", "classify", context)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> None:
        self._refuse(request, "Regress", "regress", context)

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> None:
        # Count the request under the first task's model, as the request itself names none.
        first = next(iter(request.tasks), inference_pb2.InferenceTask())
        self._refuse(first, "MultiInference", "do several tasks at once", context)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _abort_on_error(context):
            spec = _read_spec(request)
            if not request.metadata_field:
                raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != SIGNATURE_DEF:
                    raise invalid(f"Metadata field {field} is not supported")
            return self._service.metadata(spec)[0]

    def _refuse(self, request: Any, api: str, action: str, context: grpc.ServicerContext) -> None:
        with _abort_on_error(context), self._service.measured(request.model_spec.name, api, "GRPC"):
            raise unable_to(action)  # Within `measured`, so that metrics count the request.


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: Service, repository: Path) -> None:
        self._service = service
        self._repository = repository

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _abort_on_error(context):
            return self._service.status(_read_spec(request))

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _abort_on_error(context):
            self._service.models.reload(models_of(request.config, self._repository))
            return model_management_pb2.ReloadConfigResponse(status={"error_code": 0})


class _TokenCheck(grpc.ServerInterceptor):
    """Refuse requests without the API token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        header = dict(details.invocation_metadata).get("authorization", "")
        if has_token(header.encode() if isinstance(header, str) else header, self._token):
            return continuation(details)
        refused = unauthenticated()

        def refuse(_: Any, context: grpc.ServicerContext) -> Any:
            context.abort(_STATUS[refused.code], refused.message)

        # Return a handler of streams, because gRPC calls it before the message arrives.
        return grpc.stream_unary_rpc_method_handler(refuse)


class _RequestLimit(grpc.ServerInterceptor):
    """Limit the running requests, and cancel requests whose message does not arrive."""

    def __init__(self, limits: Limits) -> None:
        self._running = threading.Semaphore(limits.requests)
        # Limit requests, not bytes: gRPC does not report how much of a message has arrived.
        self._arrivals = Arrivals(limits.requests)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            message = self._receive(messages, context)
            try:
                request = handler.request_deserializer(message)
            except DecodeError:
                context.abort(grpc.StatusCode.INTERNAL, "Exception deserializing request!")
            # Refuse a request above the limit instead of queuing it, as over REST.
            if not self._running.acquire(blocking=False):
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests are under way")
            try:
                return handler.unary_unary(request, context)
            finally:
                self._running.release()

        # Return a handler of streams: gRPC calls it as soon as a request's head arrives, while
        # clients see no difference. The handler deserializes the message itself, because gRPC would
        # log a traceback for a damaged one.
        return grpc.stream_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )

    def _receive(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        # Cancel silent clients ourselves, as gRPC's deadlines are optional.
        timer = threading.Timer(MESSAGE_SECONDS, context.cancel)
        timer.daemon = True
        with self._arrivals.track(context.cancel):
            timer.start()
            message = next(messages, None)
            timer.cancel()
        if message is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "A request must have a message")
        assert message is not None  # `abort` raises.
        return message


@contextmanager
def _abort_on_error(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        refused = refusal_of(error)
    else:
        return
    # Abort outside the `except` block: `abort` raises, and Python would chain the error to it.
    context.abort(_STATUS[refused.code], refused.message)


def _read_spec(request: Any) -> ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    given = request.model_spec
    choice = given.WhichOneof("version_choice")
    return ModelSpec(
        given.name,
        given.version.value if choice == "version" else None,
        given.version_label if choice == "version_label" else None,
    )
