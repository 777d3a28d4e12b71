"""Convert the `TensorProto` of gRPC requests and warm-up files to arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from savedmodels.server.codes import invalid

Array = np.ndarray[Any, Any]
_MAX_REPEATED = 256 * 2**20  # bytes of an array that a proto fills with a single value
_MAX_EXPANSION = 8  # bytes of an array per byte of its proto: a small int64 is a varint of one byte


def arrays_of_protos(protos: Mapping[str, Any], max_bytes: int | None = None) -> dict[str, Array]:
    """Convert protos to arrays, by name.

    Args:
        protos: `TensorProto` by name.
        max_bytes: Maximum size of an array in bytes. It is needed because a short proto can claim a
            tensor of any size: a single value may fill all elements. None, for the files of a
            model, allows any size to tensors written in full, and 256 MiB to others.
    """
    return {name: _array_of(name, proto, max_bytes) for name, proto in protos.items()}


def _array_of(name: str, proto: Any, max_bytes: int | None) -> Array:
    if max_bytes is None:
        max_bytes = max(_MAX_REPEATED, _MAX_EXPANSION * proto.ByteSize())
    sizes = [dimension.size for dimension in proto.tensor_shape.dim]
    try:
        item = np.dtype(tf.dtypes.as_dtype(proto.dtype).as_numpy_dtype).itemsize
        if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
            raise ValueError  # `make_ndarray` would take an unknown rank for a scalar.
        # Check the size before `make_ndarray`, which would allocate as much as is claimed.
        if math.prod(sizes) * item > max_bytes:
            raise invalid(f"tensor {name} must have at most {max_bytes} bytes")
        return np.asarray(tf.make_ndarray(proto))
    # `make_ndarray` raises one of these for a damaged proto.
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        raise invalid(f"tensor parsing error: {name}") from None
