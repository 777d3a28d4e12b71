"""Warm-up records: the `PredictionLog` that TensorFlow Serving reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from savedmodels import golden, warmup
from savedmodels.layout import GOLDEN, WARM_UP


def prediction_log() -> Any:
    """The messages of tensorflow_serving/apis, as far as a warm-up needs them, by their numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="apis.proto", package="apis", syntax="proto3")

    def message(name: str, /, **fields: tuple[int, str]) -> Any:
        added = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            one = added.field.add(name=field, number=number, label=1)
            if kind in ("string", "bytes"):
                one.type = {"string": 9, "bytes": 12}[kind]
            else:
                one.type, one.type_name = 11, f".apis.{kind}"
        return added

    message("PredictionLog", predict_log=(6, "PredictLog"))
    message("PredictLog", request=(1, "PredictRequest"), response=(2, "PredictRequest"))
    request = message("PredictRequest", model_spec=(1, "ModelSpec"), inputs=(2, "Input"))
    request.field[1].label = 3  # A map is a repeated pair.
    message("ModelSpec", name=(1, "string"), signature_name=(3, "string"))
    message("Input", key=(1, "string"), value=(2, "bytes"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("apis.PredictionLog"))


def records(folder: Path) -> list[bytes]:
    return list(tf.data.TFRecordDataset(str(folder / WARM_UP)).as_numpy_iterator())


def test_there_is_a_record_of_each_golden_request(scaling: Path) -> None:
    recorded = golden.read(scaling / GOLDEN)
    logs = [prediction_log().FromString(record) for record in records(scaling)]
    requests = {log.predict_log.request.model_spec.signature_name: log for log in logs}
    assert len(logs) == len(recorded)
    assert set(requests) == set(recorded)
    for name, log in requests.items():
        assert not log.predict_log.HasField("response")
        request = log.predict_log.request
        assert request.model_spec.name == ""
        inputs = {
            each.key: tf.make_ndarray(tensor_pb2.TensorProto.FromString(each.value))
            for each in request.inputs
        }
        assert inputs.keys() == recorded[name].inputs.keys()
        for key, value in inputs.items():
            assert golden.difference(recorded[name].inputs[key], value) == ""


def test_the_official_protos_read_the_records(scaling: Path) -> None:
    apis = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2", reason="needs tensorflow-serving-api"
    )
    recorded = golden.read(scaling / GOLDEN)
    names = []
    for record in records(scaling):
        log = apis.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        names.append(request.model_spec.signature_name)
        expected = recorded[names[-1]].inputs
        assert set(request.inputs) == set(expected)
        for key, value in request.inputs.items():
            assert golden.difference(expected[key], tf.make_ndarray(value)) == ""
    assert sorted(names) == sorted(recorded)


def test_lengths_of_more_than_a_byte(tmp_path: Path) -> None:
    long = "s" * 300
    log = prediction_log().FromString(warmup.prediction_log(long, {"x": bytes(70_000)}))
    request = log.predict_log.request
    assert request.model_spec.signature_name == long
    assert [len(each.value) for each in request.inputs] == [70_000]


def test_more_records_than_tensorflow_serving_takes(tmp_path: Path) -> None:
    requests = {str(number): {"x": np.zeros(1)} for number in range(1001)}
    with pytest.raises(ValueError, match=r"at most 1000. Received: 1001 requests"):
        warmup.write(tmp_path, requests)
    assert list(tmp_path.iterdir()) == []
