"""Write warm-up requests, which TensorFlow Serving runs before a version becomes available."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from savedmodels import atomic
from savedmodels.layout import WARM_UP

MAX_RECORDS = 1000  # Maximum number of requests; TensorFlow Serving refuses a model with more.
# Field numbers in TensorFlow Serving's prediction_log.proto, predict.proto and model.proto. They
# are serialised by hand, so that an export does not need the package tensorflow-serving-api.
_PREDICT_LOG = 6
_REQUEST = 1
_MODEL_SPEC, _INPUTS = 1, 2
_SIGNATURE_NAME = 3
_KEY, _VALUE = 1, 2


def write(folder: Path, requests: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> None:
    """Write one warm-up request per signature into a SavedModel's folder.

    Args:
        folder: Folder of the SavedModel.
        requests: Inputs by name, by signature; the model does not load if one is invalid.

    Raises:
        ValueError: if there are more than `MAX_RECORDS`.
    """
    # Import here: probe.py must import this module without TensorFlow.
    import tensorflow as tf

    if len(requests) > MAX_RECORDS:
        raise ValueError(
            f"`requests` must be at most {MAX_RECORDS}. Received: {len(requests)} requests"
        )
    # Write to a temporary file first, because TFRecordWriter cannot write atomically.
    with tempfile.NamedTemporaryFile() as file:
        with tf.io.TFRecordWriter(file.name) as writer:
            for signature, inputs in requests.items():
                protos = {name: tf.make_tensor_proto(value) for name, value in inputs.items()}
                serialised = {name: proto.SerializeToString() for name, proto in protos.items()}
                writer.write(prediction_log(signature, serialised))
        atomic.write_file(folder / WARM_UP, Path(file.name).read_bytes())


def prediction_log(signature: str, inputs: Mapping[str, bytes]) -> bytes:
    """Serialise a `PredictionLog` with a Predict request, given serialised `TensorProto`s."""
    # Leave out the model's name: TensorFlow Serving uses the model that holds the file.
    spec = _field(_SIGNATURE_NAME, signature.encode())
    entries = (
        _field(_KEY, name.encode()) + _field(_VALUE, tensor) for name, tensor in inputs.items()
    )
    request = _field(_MODEL_SPEC, spec) + b"".join(_field(_INPUTS, entry) for entry in entries)
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    """Serialise a protobuf field that holds a string or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Serialise an unsigned number as a protobuf varint: 7 bits per byte, lowest first."""
    if number < 0x80:
        return bytes([number])
    return bytes([number & 0x7F | 0x80]) + _varint(number >> 7)
