"""The gRPC API of a real server, through the stubs of `tensorflow-serving-api`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

grpc = pytest.importorskip("grpc")
pytest.importorskip("tensorflow_serving", reason="needs the extra `serve`")

import tensorflow as tf  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

X = {"x": np.array([[1, 2]], np.float32)}
BIASED = X | {"bias": np.array([[10]], np.float32)}


@pytest.fixture(name="channel", scope="module")
def _channel(server: Any) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture(name="predict")
def _predict(channel: Any) -> Any:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def call(
        inputs: dict[str, Any],
        signature: str = "",
        outputs: tuple[str, ...] = (),
        name: str = "toy",
        timeout: float | None = None,
        **spec: Any,
    ) -> Any:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.model_spec.signature_name = signature
        if "version" in spec:
            request.model_spec.version.value = spec["version"]
        if "label" in spec:
            request.model_spec.version_label = spec["label"]
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        request.output_filter.extend(outputs)
        return stub.Predict(request, timeout=timeout)

    return call


def arrays(response: Any) -> dict[str, Any]:
    return {name: tf.make_ndarray(proto).tolist() for name, proto in response.outputs.items()}


def test_predictions(predict: Any) -> None:
    response = predict(X)
    assert arrays(response) == {"y": [[14.0, 16.0]]}
    assert response.model_spec.name == "toy"
    assert response.model_spec.version.value == 12
    assert response.model_spec.signature_name == "serving_default"
    assert arrays(predict(X, version=3)) == {"y": [[5.0, 7.0]]}
    assert arrays(predict(X, label="stable")) == {"y": [[5.0, 7.0]]}
    assert predict(X, label="canary").model_spec.version.value == 12
    named = X | {"n": np.array([3], np.int32)}
    assert arrays(predict(named, "named")) == {"n": [3], "sum": [6.0]}
    assert arrays(predict(named, "named", ("sum",))) == {"sum": [6.0]}
    assert arrays(predict(BIASED, "optional")) == {"y": [[12.0, 14.0]]}
    given = BIASED | {"scale": np.float32(3)}
    assert arrays(predict(given, "optional")) == {"y": [[13.0, 16.0]]}
    assert arrays(predict({"text": [b"\x00"]}, "text")) == {
        "image_bytes": [b"\xff\x00"],
        "size": [1],
    }


@pytest.mark.parametrize(
    ("arguments", "code", "beginning"),
    [
        (
            {"inputs": X, "name": "no"},
            "NOT_FOUND",
            "Servable not found for request: Latest(no)",
        ),
        (
            {"inputs": X, "version": 9},
            "NOT_FOUND",
            "Servable not found for request: Specific(toy, 9)",
        ),
        (
            {"inputs": X, "label": "x"},
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: x",
        ),
        (
            {"inputs": X, "signature": "x"},
            "FAILED_PRECONDITION",
            'Serving signature key "x" not found.',
        ),
        ({"inputs": X, "name": ""}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ({"inputs": {}}, "INVALID_ARGUMENT", "input size does not match signature"),
        ({"inputs": {"z": 1.0}}, "INVALID_ARGUMENT", "input size does not match signature"),
        (
            {"inputs": X, "signature": "optional"},
            "INVALID_ARGUMENT",
            "input size does not match signature",
        ),
        (
            {"inputs": BIASED | {"q": 1.0}, "signature": "optional"},
            "INVALID_ARGUMENT",
            "input size does not match signature",
        ),
        (
            {"inputs": X, "outputs": ("q",)},
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: q",
        ),
        (
            {"inputs": X, "outputs": ("y", "y")},
            "INVALID_ARGUMENT",
            "duplicate output tensor alias: y",
        ),
        (
            {"inputs": {"x": np.zeros((1, 2), np.int32)}},
            "INVALID_ARGUMENT",
            "Expects arg x to be float but int32 is provided",
        ),
        (
            {"inputs": {"x": np.zeros((1025, 2), np.float32)}},
            "INVALID_ARGUMENT",
            "A request must have at most 1024 samples. Received: 1025",
        ),
        (
            {"inputs": {"x": np.zeros((1, 2), np.float32), "turns": 2**31 - 1}, "signature": "slow",
             "timeout": 1.0},
            "DEADLINE_EXCEEDED",
            "",
        ),
    ],
)  # fmt: skip
def test_errors(predict: Any, arguments: Any, code: str, beginning: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        predict(**arguments)
    assert caught.value.code().name == code
    assert caught.value.details().startswith(beginning)


@pytest.mark.parametrize(
    "damage",
    [
        lambda proto: proto.tensor_shape.dim.add(size=10**12),
        lambda proto: proto.tensor_shape.dim.add(size=-1),
        lambda proto: proto.tensor_shape.CopyFrom(type(proto.tensor_shape)(unknown_rank=True)),
        lambda proto: setattr(proto, "tensor_content", b"\x00\x01\x02"),
        lambda proto: setattr(proto, "dtype", 0),
        lambda proto: setattr(proto, "dtype", 21),  # A variant.
        lambda proto: setattr(proto, "dtype", 20),  # A resource.
    ],
)
def test_tensors_that_cannot_be_read(channel: Any, damage: Any) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(X["x"]))
    damage(request.inputs["x"])
    with pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith("tensor ")


def test_status_and_metadata(channel: Any) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"
    found = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request)
    assert [(v.version, v.state, v.status.error_code) for v in found.model_version_status] == [
        (12, 30, 0),
        (3, 30, 0),
    ]
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "toy"
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    response = stub.GetModelMetadata(asked)
    assert response.model_spec.version.value == 12
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["named"].inputs["n"].dtype == tf.int32.as_datatype_enum
    for wrong, message in (
        ([], "GetModelMetadataRequest must specify at least one metadata_field"),
        (["x"], "Metadata field x is not supported"),
    ):
        asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=wrong)
        asked.model_spec.name = "toy"
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetModelMetadata(asked)
        assert caught.value.details() == message


@pytest.mark.parametrize(
    ("method", "request_of", "said"),
    [
        ("Classify", classification_pb2.ClassificationRequest, "classify"),
        ("Regress", regression_pb2.RegressionRequest, "regress"),
        ("MultiInference", inference_pb2.MultiInferenceRequest, "do several tasks at once"),
    ],
)
def test_what_this_server_does_not(
    channel: Any, server: Any, method: str, request_of: Any, said: str
) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, method)(request_of())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == f"This server does not {said}; it does predict"
    assert "Traceback" not in server.log.read_text()


def test_configurations_are_replaced_or_refused(channel: Any, toy: Any) -> None:
    stub = model_service_pb2_grpc.ModelServiceStub(channel)

    def reload(**labels: int) -> Any:
        request = model_management_pb2.ReloadConfigRequest()
        config = request.config.model_config_list.config.add(
            name="toy", base_path=str(toy / "toy"), model_platform="tensorflow"
        )
        config.model_version_policy.all.SetInParent()
        for label, version in labels.items():
            config.version_labels[label] = version
        return stub.HandleReloadConfigRequest(request)

    with pytest.raises(grpc.RpcError) as caught:
        stub.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        reload(stable=4)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reload(stable=3, canary=12).status.error_code == 0
