"""Read tensors from the JSON of REST requests, by TensorFlow Serving's rules and error texts."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from savedmodels.server.codes import Code, Refused, invalid
from savedmodels.server.json_answers import INTEGERS, Array, Form
from savedmodels.server.json_text import parse
from savedmodels.server.signature import NUMPY_TYPES, TensorInfo
from savedmodels.server.time_left import until_deadline

_MAX_DIMENSIONS = 64  # NumPy's maximum
_MAX_QUOTED = 1000  # characters of a string in an error: it may be a whole image
_LARGEST = {dtype: float(np.finfo(NUMPY_TYPES[dtype]).max) for dtype in ("float", "double")}
# Smallest and largest integer of the range in which a type represents every integer exactly.
_EXACT_RANGE = {
    **{dtype: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for dtype in INTEGERS},
    "float": (1 - 2**24, 2**24 - 1),
    "double": (1 - 2**53, 2**53 - 1),
}
# Python types of the JSON values that a tensor accepts, by TensorFlow's name of its type.
_ACCEPTED = {
    **dict.fromkeys(INTEGERS, (int,)),
    **dict.fromkeys(_LARGEST, (int, float)),
    "bool": (bool,),
    "string": (str, dict),
}


class _Misfit(Refused):
    """Value that a tensor cannot hold; `element` is its index in the tensor's first dimension."""

    def __init__(self, element: int, message: str, code: Code = Code.INVALID_ARGUMENT) -> None:
        super().__init__(code, message)
        self.element = element


def read_document(body: bytes) -> dict[str, Any]:
    """Parse a body: a JSON object, in which `signature_name` is a string or missing."""
    value = parse(body)
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {_quote(value)} Is not object")
    if not isinstance(value.get("signature_name", ""), str):
        raise invalid("JSON Value: 'signature_name' key must be a string value")
    return value


def read_tensors(
    document: Mapping[str, Any], inputs: Mapping[str, TensorInfo]
) -> tuple[Form, dict[str, Array]]:
    """Read the tensors of a request by the names of a signature's inputs; also return the layout.

    In the row layout, instances are stacked along a new first dimension.
    """
    # Leave shapes unchecked: TensorFlow compares them with the signature's.
    if Form.ROW.value in document and Form.COLUMNAR.value in document:
        raise invalid("JSON Value: Expecting only one of 'inputs' or 'instances' keys to exist")
    if Form.COLUMNAR.value in document:
        return Form.COLUMNAR, _read_columns(document[Form.COLUMNAR.value], inputs)
    if Form.ROW.value not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    rows = document[Form.ROW.value]
    if not isinstance(rows, list):
        raise invalid("JSON Value: Expecting 'instances' to be a list/array")
    if not rows:
        raise invalid("JSON Value: No values in 'instances' array")
    return Form.ROW, _read_rows(rows, inputs)


def _read_columns(value: Any, inputs: Mapping[str, TensorInfo]) -> dict[str, Array]:
    if not _is_named_tensors(value):
        if len(inputs) > 1:
            raise invalid("inputs is a plain value/list, but the signature has several inputs")
        value = dict.fromkeys(inputs, value)
    for name in sorted(inputs):
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _to_array(value[name], info.dtype) for name, info in sorted(inputs.items())}


def _read_rows(rows: list[Any], inputs: Mapping[str, TensorInfo]) -> dict[str, Array]:
    named = _is_named_tensors(rows[0])
    if not named and len(inputs) > 1:
        raise invalid("instances is a plain list, but the signature has several inputs")
    columns = _to_columns(rows, inputs) if named else dict.fromkeys(inputs, rows)
    arrays = {}
    for name, column in columns.items():
        try:
            arrays[name] = _to_array(column, inputs[name].dtype)
        except _Misfit as misfit:
            at = misfit.element
            if not named and _is_named_tensors(rows[at]):
                raise invalid(f"Expecting value/list but got object at item {at}") from None
            key = f" key: {name}" if named else ""
            raise invalid(
                f"Failed to process element: {at}{key} of 'instances' list. "
                f"Error: {misfit.code.name}: {misfit.message}"
            ) from None
    return arrays


def _to_columns(rows: list[Any], inputs: Mapping[str, TensorInfo]) -> dict[str, list[Any]]:
    for index, row in enumerate(until_deadline(rows)):
        if not _is_named_tensors(row):
            raise invalid(f"Expecting object but got value/list at item {index}")
        if row.keys() != inputs.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. "
                f"Keys must be equal to: {','.join(sorted(inputs))}"
            )
    return {name: [row[name] for row in rows] for name in inputs}


def _is_named_tensors(value: Any) -> bool:
    # A base64 string is a JSON object too, but it is one value.
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: dict[str, Any]) -> bool:
    return len(value) == 1 and isinstance(value.get("b64"), str)


def _to_array(value: Any, dtype: str) -> Array:
    values, shape = _flatten(value)
    if len(shape) > _MAX_DIMENSIONS:
        raise invalid(f"Tensors must have at most {_MAX_DIMENSIONS} dimensions")
    if dtype not in _ACCEPTED:
        message = f"Conversion of JSON Value: {_quote(value)} to type: {dtype}"
        raise _Misfit(0, message, Code.UNIMPLEMENTED)
    if dtype == "string":
        leaves = [_to_bytes(each) for each in until_deadline(values)]
        unfit = leaves.index(None) if None in leaves else None
    else:
        leaves, unfit = values, _first_unfit(values, dtype)
    if unfit is not None:
        raise _Misfit(_first_index(unfit, values, shape), _value_fault(values[unfit], dtype))
    return np.array(leaves, NUMPY_TYPES[dtype]).reshape(shape)


def _flatten(value: Any) -> tuple[list[Any], list[int]]:
    """Flatten nested lists, and return the values and the shape."""
    # Flatten level by level: a recursion would fail for deeply nested lists.
    values = [value]
    shape: list[int] = []
    while values and isinstance(values[0], list):
        size = len(values[0])
        if set(map(type, values)) != {list} or set(map(len, values)) != {size}:
            at = next(i for i, v in enumerate(values) if type(v) is not list or len(v) != size)
            element = _first_index(at, values, shape)
            raise _Misfit(element, _list_fault(values[at], len(shape), size))
        shape.append(size)
        values = list(chain.from_iterable(values))
    return values, shape


def _first_index(at: int, values: list[Any], shape: list[int]) -> int:
    """Return the index in the first dimension of the flattened value at index `at`."""
    # Divide: lists of each outer level have equal sizes, so every element has as many values.
    return at * shape[0] // len(values) if shape else 0


def _first_unfit(values: list[Any], dtype: str) -> int | None:
    """Return the index of the first value that a tensor of numbers or booleans cannot hold."""
    # Compare types, not with `isinstance`: a boolean is an integer in Python.
    kinds = set(map(type, values))
    if kinds == {float} and dtype in _LARGEST:
        # Check all floats as one array: value by value takes far longer on large requests.
        sizes = np.abs(np.array(values))
        if np.all(~np.isfinite(sizes) | (sizes <= _LARGEST[dtype])):
            return None
    if kinds == {int} and dtype in _EXACT_RANGE:
        low, high = _EXACT_RANGE[dtype]
        if low <= min(values) and max(values) <= high:
            return None
    return next((at for at, v in enumerate(until_deadline(values)) if not _fits(v, dtype)), None)


def _fits(value: Any, dtype: str) -> bool:
    if type(value) not in _ACCEPTED[dtype]:
        return False
    if dtype == "bool":
        return True
    low, high = _EXACT_RANGE[dtype]
    if low <= value <= high:
        return True
    # Accept rounding of floats, and of integers beyond 64 bits, which the server reads as floats.
    if dtype in INTEGERS or (isinstance(value, int) and -(2**63) <= value < 2**64):
        return False
    return abs(value) <= _LARGEST[dtype] or (isinstance(value, float) and not math.isfinite(value))


def _to_bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if not isinstance(value, dict) or not _is_base64(value):
        return None
    # Remove whitespace, which wrapped base64 has and Python's decoder refuses.
    text = "".join(value["b64"].split()).removesuffix("=").removesuffix("=")
    try:
        # Complete the padding, which TensorFlow Serving does not require but Python does.
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None


def _list_fault(value: Any, level: int, size: int) -> str:
    if isinstance(value, list):
        return f"Encountered list at unexpected size: {len(value)} in place of {size}"
    return f"JSON Value: {_quote(value)} found at incorrect level: {level}"


def _value_fault(value: Any, dtype: str) -> str:
    if isinstance(value, list):
        return "Encountered list at unexpected level"
    if isinstance(value, dict) and dtype == "string" and _is_base64(value):
        return "Unable to base64 decode"
    if type(value) in _ACCEPTED[dtype] and dtype in _LARGEST:
        return f"Cannot convert JSON value: {_quote(value)} to {dtype} without loss of precision."
    return f"JSON Value: {_quote(value)} is not of expected type: {dtype}"


def _quote(value: Any) -> str:
    # Leave out the content of lists and objects, which may be the whole request.
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return json.dumps(value[:_MAX_QUOTED] if isinstance(value, str) else value, ensure_ascii=False)
