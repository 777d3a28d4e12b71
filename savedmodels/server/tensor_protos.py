"""Convert the `TensorProto` of gRPC requests and warm-up files to arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from savedmodels.server.codes import invalid

Array = np.ndarray[Any, Any]
_MOST_REPEATED = 256 * 2**20  # bytes that one value written once may fill
_BYTES_FOR_A_BYTE = 8  # a small int64 takes one byte of a message, as a varint


def arrays_of_protos(protos: Mapping[str, Any], most_bytes: int | None = None) -> dict[str, Array]:
    """Convert protos to arrays, by name.

    Args:
        protos: `TensorProto` by name.
        most_bytes: Largest array in bytes. A short message can claim a tensor of any size,
            because a single value may fill all elements. None is for files of a model:
            tensors written in full may have any size, others up to 256 MiB.
    """
    return {name: _array_of(name, proto, most_bytes) for name, proto in protos.items()}


def _array_of(name: str, proto: Any, most_bytes: int | None) -> Array:
    if most_bytes is None:
        most_bytes = max(_MOST_REPEATED, _BYTES_FOR_A_BYTE * proto.ByteSize())
    sizes = [dimension.size for dimension in proto.tensor_shape.dim]
    try:
        item = np.dtype(tf.dtypes.as_dtype(proto.dtype).as_numpy_dtype).itemsize
        if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
            raise ValueError  # `make_ndarray` would take an unknown rank for a scalar.
        # Checked before `make_ndarray`, which would allocate the claimed size.
        if math.prod(sizes) * item > most_bytes:
            raise invalid(f"tensor {name} must have at most {most_bytes} bytes")
        return np.asarray(tf.make_ndarray(proto))
    # `make_ndarray` raises any of these, depending on what is damaged.
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        raise invalid(f"tensor parsing error: {name}") from None
