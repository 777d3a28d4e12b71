"""How large tensors of clients and of files may be."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2

from savedmodels.server import tensor_protos
from savedmodels.server.codes import Refused
from savedmodels.server.tensor_protos import arrays_of_protos


def repeated(size: int) -> object:
    shape = tensor_shape_pb2.TensorShapeProto(dim=[{"size": size}])
    return tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape, float_val=[1.0])


def test_clients_have_a_limit_whether_elements_are_written_out_or_not() -> None:
    assert arrays_of_protos({"x": repeated(25)}, 100)["x"].tolist() == [1.0] * 25
    for proto in (repeated(26), tf.make_tensor_proto(np.zeros(26, np.float32))):
        with pytest.raises(Refused, match=r"^tensor x must have at most 100 bytes$"):
            arrays_of_protos({"x": proto}, 100)


def test_files_have_one_for_what_they_do_not_write_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match=r"^tensor x must have at most 268435456 bytes$"):
        arrays_of_protos({"x": repeated(2**26 + 1)})
    monkeypatch.setattr(tensor_protos, "_MAX_REPEATED", 100)
    small = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT64, int64_val=range(100))
    small.tensor_shape.dim.add(size=100)  # Bytes that become eight each.
    floats = tf.make_tensor_proto(np.arange(1000, dtype=np.float32))
    taken = arrays_of_protos({"small": small, "floats": floats})
    assert taken["small"].tolist() == list(range(100))
    assert taken["floats"].tolist() == list(range(1000))
    with pytest.raises(Refused, match=r"^tensor x must have at most"):
        arrays_of_protos({"x": repeated(1000)})
