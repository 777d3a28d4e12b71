"""A signature as requests are held to it: the names, types and shapes of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
"""By TensorFlow's names of types; what is missing here no JSON can hold."""


_NAMES = {kind: name for name, kind in NUMPY_TYPES.items()}


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a signature.

    Attributes:
        tensor: Its name in the graph.
        dtype: TensorFlow's name of its type, such as `float`.
        shape: `None` for a free dimension, and as a whole where even the rank is free.
    """

    tensor: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def batched(self) -> bool:
        """Return whether the first dimension is free, and so may be a batch."""
        return self.shape is not None and len(self.shape) > 0 and self.shape[0] is None


@dataclass(frozen=True)
class Signature:
    """Signature of a SavedModel: inputs and outputs, by the names of their tensors.

    Attributes:
        name: Name of the signature.
        inputs: Inputs by name.
        outputs: Outputs by name.
        defaults: Values of inputs that a request may leave out.
    """

    name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    defaults: Mapping[str, Array] = field(default_factory=dict)


def inputs_of(
    signature: Signature, sent: Mapping[str, Array], most_samples: float
) -> dict[str, Array]:
    """Return a request's inputs, with the defaults of what it leaves out.

    Holds it to the names and types of the signature, and to the limit on samples.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    known = signature.inputs.keys()
    extra, missing = sent.keys() - known, known - sent.keys() - signature.defaults.keys()
    if extra or missing:
        raise invalid(
            "input size does not match signature. "
            f"Sent extra: {_set(extra)}. Missing but required: {_set(missing)}."
        )
    for name, array in sent.items():
        expected, sent_type = signature.inputs[name].dtype, _type_name(array)
        if expected in NUMPY_TYPES and sent_type != expected:
            raise invalid(f"Expects arg {name} to be {expected} but {sent_type} is provided")
        if signature.inputs[name].batched and array.ndim and len(array) > most_samples:
            raise invalid(
                f"A request must have at most {most_samples} samples. Received: {len(array)}"
            )
    return {name: each for name, each in {**signature.defaults, **sent}.items() if name in known}


def outputs_of(signature: Signature, output_filter: Sequence[str]) -> frozenset[str]:
    """The outputs that a request asks for.

    Raises:
        Refused: INVALID_ARGUMENT, for an unknown one, or one that comes twice.
    """
    for name in output_filter:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {_set(signature.outputs)}."
            )
        if list(output_filter).count(name) > 1:
            raise invalid(f"duplicate output tensor alias: {name}")
    return frozenset(output_filter or signature.outputs)


def _type_name(array: Array) -> str:
    """TensorFlow's name of an array's type."""
    return _NAMES.get(array.dtype.type, array.dtype.name)


def _set(names: Collection[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"
