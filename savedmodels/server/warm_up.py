"""Warm up a loaded version before it becomes available: run the requests in its SavedModel."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from savedmodels.layout import WARM_UP
from savedmodels.server.codes import Code, Refused, invalid
from savedmodels.server.predictor import Predictor
from savedmodels.server.tensor_protos import arrays_of_protos
from savedmodels.warmup import MAX_RECORDS


def warm_up(predictor: Predictor, folder: Path) -> int:
    """Run each request of a SavedModel's warm-up file, if there is one; return their number."""
    path = folder / WARM_UP
    if not path.exists():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            count += 1
            if count > MAX_RECORDS:
                raise invalid(
                    f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
                )
            _run_request(predictor, record, path)
    except tf.errors.DataLossError as error:
        raise Refused(
            Code.DATA_LOSS,
            f"{error.message}. Please verify your warmup data is in TFRecord format.",
        ) from None
    return count


def _run_request(predictor: Predictor, record: bytes, path: Path) -> None:
    try:
        entry = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise invalid(f"Failed to parse warmup record from {path}") from None
    kind = entry.WhichOneof("log_type")
    if kind is None:
        return
    if kind != "predict_log":
        raise Refused(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    request = entry.predict_log.request
    # Apply none of the limits on clients: warm-up requests may hold a large model's images.
    predictor.predict(
        request.model_spec.signature_name, arrays_of_protos(request.inputs), request.output_filter
    )
