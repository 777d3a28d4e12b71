"""Signature of a loaded model, and checks of a request's inputs and outputs against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from savedmodels.server.codes import invalid

Array = np.ndarray[Any, Any]

DEFAULT_SIGNATURE = "serving_default"

NUMPY_TYPES: Mapping[str, type] = {
    "float": np.float32,
    "double": np.float64,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
    "half": np.float16,
    "string": np.object_,
}
"""NumPy type by TensorFlow's name of it; other types cannot be read from JSON."""
_NAMES = {kind: name for name, kind in NUMPY_TYPES.items()}


@dataclass(frozen=True)
class TensorInfo:
    """Input or output of a signature."""

    tensor: str  # Name of the tensor in the graph
    dtype: str  # TensorFlow's name of the type, such as `float`
    shape: tuple[int | None, ...] | None
    """Sizes of the dimensions, None for an unknown size; None if the rank is unknown."""

    @property
    def batched(self) -> bool:
        """Return whether the first dimension has an unknown size, so that it can be a batch."""
        return self.shape is not None and len(self.shape) > 0 and self.shape[0] is None


@dataclass(frozen=True)
class SignatureInfo:
    """Signature of a SavedModel; `defaults` holds the inputs that a request may leave out."""

    name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    defaults: Mapping[str, Array] = field(default_factory=dict)


def complete_inputs(
    signature: SignatureInfo, sent: Mapping[str, Array], max_samples: float
) -> dict[str, Array]:
    """Check the inputs that a request sent, and add the signature's defaults for missing ones."""
    known = signature.inputs.keys()
    extra, missing = sent.keys() - known, known - sent.keys() - signature.defaults.keys()
    if extra or missing:
        raise invalid(
            "input size does not match signature. "
            f"Sent extra: {sorted(extra)}. Missing but required: {sorted(missing)}."
        )
    for name, array in sent.items():
        expected, sent_type = signature.inputs[name].dtype, _type_name(array)
        if expected in NUMPY_TYPES and sent_type != expected:
            raise invalid(f"Expects arg {name} to be {expected} but {sent_type} is provided")
        if signature.inputs[name].batched and array.ndim and len(array) > max_samples:
            raise invalid(
                f"A request must have at most {max_samples} samples. Received: {len(array)}"
            )
    return {name: each for name, each in {**signature.defaults, **sent}.items() if name in known}


def choose_outputs(signature: SignatureInfo, output_filter: Sequence[str]) -> frozenset[str]:
    """Check the names of outputs that a request asks for, and return them; all if it names none."""
    for name in output_filter:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} "
                f"in place of one of {sorted(signature.outputs)}"
            )
        if list(output_filter).count(name) > 1:
            raise invalid(f"duplicate output tensor alias: {name}")
    return frozenset(output_filter or signature.outputs)


def _type_name(array: Array) -> str:
    # Use TensorFlow's names: NumPy's differ for floats (`float32`) and strings (`object`).
    return _NAMES.get(array.dtype.type, array.dtype.name)
