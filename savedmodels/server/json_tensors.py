"""Bodies of REST requests as tensors, by TensorFlow Serving's rules."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from savedmodels.server.codes import Code, Refused, invalid
from savedmodels.server.json_answers import INTEGERS, Form, decimals
from savedmodels.server.json_text import parse
from savedmodels.server.signature import NUMPY_TYPES, TensorInfo
from savedmodels.server.time_left import while_time

Array = np.ndarray[Any, Any]
# NumPy's own limit.
_MOST_DIMENSIONS = 64
_SHOWN = 1000
_SIGNIFICANT_BITS = {"float": 24, "double": 53}
_INTEGERS = {dtype: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for dtype in INTEGERS}
_TYPES = frozenset([*_SIGNIFICANT_BITS, *_INTEGERS, "bool", "string"])
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_KINDS = {
    type(None): "Null",
    bool: "",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}


def document(body: bytes) -> dict[str, Any]:
    """The object that a body holds.

    Raises:
        Refused: INVALID_ARGUMENT, if it is no JSON, no object, or names its signature wrongly.
    """
    value = parse(body)
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {_shown(value)} Is not object")
    if not isinstance(value.get("signature_name", ""), str):
        raise invalid(
            f"JSON Value: {_shown(value)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return value


def tensors_of(
    document: Mapping[str, Any], inputs: Mapping[str, TensorInfo]
) -> tuple[Form, dict[str, Array]]:
    """The tensors that a request sends, by the names of a signature's inputs.

    Of the row form the tensors have a first dimension more than an instance. The shapes of the
    signature play no part: TensorFlow itself finds what does not fit.

    Raises:
        Refused: INVALID_ARGUMENT, or UNIMPLEMENTED for a type that JSON cannot hold.
    """
    instances = Form.ROW.value in document
    if instances and Form.COLUMNAR.value in document:
        raise invalid(
            f"JSON Value: {_shown(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if instances:
        rows = document[Form.ROW.value]
        if not isinstance(rows, list):
            raise invalid(
                f"JSON Value: {_shown(document)} Excepting 'instances' to be an list/array"
            )
        if not rows:
            raise invalid(f"JSON Value: {_shown(document)} No values in 'instances' array")
        return Form.ROW, _of_rows(rows, inputs)
    if Form.COLUMNAR.value in document:
        return Form.COLUMNAR, _of_columns(document[Form.COLUMNAR.value], inputs)
    raise invalid("Missing 'inputs' or 'instances' key")


def _of_rows(rows: list[Any], inputs: Mapping[str, TensorInfo]) -> dict[str, Array]:
    first = rows[0]
    if not isinstance(first, dict) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    if not _is_named(first):
        name, info = min(inputs.items())
        if any(map(_is_named, rows)):
            _raise_fault_of_values(rows, info.dtype)
        array = _array(rows, info.dtype)
        if array is None:
            _raise_fault_of_values(rows, info.dtype)
        return {name: array}
    if not all(_is_named(row) and row.keys() == inputs.keys() for row in while_time(rows)):
        _raise_fault_of_objects(rows, inputs)
    arrays = {
        name: _array([row[name] for row in rows], info.dtype) for name, info in inputs.items()
    }
    found = {name: array for name, array in arrays.items() if array is not None}
    if len(found) < len(arrays):
        _raise_fault_of_objects(rows, inputs)
    return found


def _of_columns(value: Any, inputs: Mapping[str, TensorInfo]) -> dict[str, Array]:
    if not _is_named(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        value = {min(inputs): value}
    found = {}
    for name, info in sorted(inputs.items()):
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        array = _array(value[name], info.dtype)
        if array is None:
            raise _fault(value[name], info.dtype) or _too_deep()
        found[name] = array
    return found


def _is_named(value: Any) -> bool:
    """Return whether a value is an object of named tensors, and not a piece of base64."""
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: dict[str, Any]) -> bool:
    return len(value) == 1 and isinstance(value.get("b64"), str)


def _array(value: Any, dtype: str) -> Array | None:
    """A value as an array, or `None` if there is a fault, which `_fault` then finds."""
    shape = _shape(value)
    leaves = [value]
    for size in shape:
        if any(type(leaf) is not list or len(leaf) != size for leaf in leaves):
            return None
        leaves = list(chain.from_iterable(leaves))
    if len(shape) > _MOST_DIMENSIONS or dtype not in _TYPES or not _all_fit(leaves, dtype):
        return None
    if dtype == "string":
        array = np.empty(len(leaves), object)
        array[:] = [_bytes(leaf) for leaf in while_time(leaves)]
    else:
        array = np.array(leaves, NUMPY_TYPES[dtype])
    return array.reshape(shape)


def _shape(value: Any) -> list[int]:
    """The shape that a value has if it is regular: that of its first element, and so on."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _all_fit(leaves: list[Any], dtype: str) -> bool:
    """Return whether `_leaf_fault` finds nothing in any of the leaves, found out faster."""
    kinds = set(map(type, leaves))
    if dtype in _SIGNIFICANT_BITS and kinds == {float}:
        largest = np.abs(np.array(leaves))
        return bool(np.all(~np.isfinite(largest) | (largest <= _largest(dtype))))
    if dtype in _INTEGERS and kinds == {int}:
        low, high = _INTEGERS[dtype]
        return low <= min(leaves) and max(leaves) <= high
    return all(_leaf_fault(leaf, dtype) is None for leaf in while_time(leaves))


def _largest(dtype: str) -> float:
    return float(np.finfo(NUMPY_TYPES[dtype]).max)


def _bytes(leaf: Any) -> bytes:
    if isinstance(leaf, str):
        return leaf.encode("utf-8", "surrogateescape")
    return base64.b64decode(_padded(leaf["b64"]))


def _padded(text: str) -> str:
    """Base64 with the padding that Python insists on, and without spaces."""
    bare = "".join(text.split()).rstrip("=")
    return bare + "=" * (-len(bare) % 4)


def _leaf_fault(leaf: Any, dtype: str) -> Refused | None:
    """Return what is wrong with a value that is no list, for a tensor of a type."""
    if dtype == "string":
        return _string_fault(leaf)
    fits = False
    if dtype in _SIGNIFICANT_BITS:
        fits = type(leaf) in (int, float)
        if fits and not _is_lossless(leaf, dtype):
            return invalid(
                f"Cannot convert JSON value: {_shown(leaf)} to {dtype} without loss of precision."
            )
    elif dtype in _INTEGERS:
        low, high = _INTEGERS[dtype]
        fits = type(leaf) is int and low <= leaf <= high
    elif dtype == "bool":
        fits = type(leaf) is bool
    elif not isinstance(leaf, dict):
        return _unknown_type(leaf, dtype)
    return None if fits else _type_fault(leaf, dtype)


def _unknown_type(value: Any, dtype: str) -> Refused:
    return Refused(
        Code.UNIMPLEMENTED, f"Conversion of JSON Value: {_shown(value)} to type: {dtype}"
    )


def _type_fault(leaf: Any, dtype: str) -> Refused:
    kind = str(leaf) if isinstance(leaf, bool) else _KINDS[type(leaf)]
    return invalid(f"JSON Value: {_shown(leaf)} Type: {kind} is not of expected type: {dtype}")


def _string_fault(leaf: Any) -> Refused | None:
    if isinstance(leaf, str):
        return None
    if not isinstance(leaf, dict):
        return _type_fault(leaf, "string")
    if not _is_base64(leaf):
        return invalid(f"JSON Value: {_shown(leaf)} not formatted correctly for base64 data")
    bare = "".join(leaf["b64"].split())
    try:
        if _BASE64.fullmatch(bare):
            base64.b64decode(_padded(bare))
            return None
    except binascii.Error:
        pass
    return invalid("Unable to base64 decode")


def _is_lossless(leaf: float, dtype: str) -> bool:
    if isinstance(leaf, int) and -(2**63) <= leaf < 2**64:
        return abs(leaf) < 2 ** _SIGNIFICANT_BITS[dtype]
    return not math.isfinite(leaf) or abs(leaf) <= _largest(dtype)


def _fault(value: Any, dtype: str) -> Refused | None:
    """The first fault of a value that is to become a tensor, in the order of its elements."""
    shape = _shape(value)

    def find(value: Any, level: int) -> Refused | None:
        if not isinstance(value, list):
            if level != len(shape):
                return invalid(
                    f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} "
                    f"in the JSON DOM. Expected at level: {len(shape)}"
                )
            return _leaf_fault(value, dtype)
        if level >= len(shape):
            return invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        if len(value) != shape[level]:
            return invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level} "
                f"expected size: {shape[level]}"
            )
        return next(filter(None, (find(element, level + 1) for element in while_time(value))), None)

    if fault := find(value, 0):
        return fault
    return None if dtype in _TYPES else _unknown_type(value, dtype)


class _Instances:
    """Takes the tensors of instances one by one, and finds the first that does not fit."""

    def __init__(self, inputs: Mapping[str, TensorInfo]) -> None:
        self._inputs = inputs
        self._shapes: dict[str, list[int]] = {}

    def fault(self, name: str, value: Any) -> Refused | None:
        if name not in self._inputs:
            return invalid(f"JSON object: does not have named input: {name}")
        if found := _fault(value, self._inputs[name].dtype):
            return found
        shape = _shape(value)
        expected = self._shapes.setdefault(name, shape)
        if math.prod(expected) != math.prod(shape):
            return invalid(
                f"Expecting tensor size: {math.prod(expected)} but got: {math.prod(shape)}"
            )
        if expected != shape:
            return invalid(f"Expecting shape {_listed(expected)} but got: {_listed(shape)}")
        return None


def _raise_fault_of_values(rows: list[Any], dtype: str) -> NoReturn:
    """Raise the first fault of instances that are tensors of the only input."""
    instances = _Instances({"": TensorInfo("", dtype, None)})
    for index, row in enumerate(while_time(rows)):
        if _is_named(row):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        if fault := instances.fault("", row):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. "
                f"Error: {fault.code.name}: {fault.message}"
            )
    raise _too_deep()


def _raise_fault_of_objects(rows: list[Any], inputs: Mapping[str, TensorInfo]) -> NoReturn:
    """Raise the first fault of instances that are objects of named tensors."""
    instances = _Instances(inputs)
    for index, row in enumerate(while_time(rows)):
        if not _is_named(row):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        for name, value in row.items():
            if fault := instances.fault(name, value):
                raise invalid(
                    f"Failed to process element: {index} key: {name} of 'instances' list. "
                    f"Error: {fault.code.name}: {fault.message}"
                )
        if row.keys() != inputs.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{_shown(row)} keys must be equal to: {','.join(sorted(inputs))}"
            )
    raise _too_deep()


def _too_deep() -> Refused:
    return invalid(f"Tensors must have at most {_MOST_DIMENSIONS} dimensions.")


def _listed(shape: Iterable[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _shown(value: Any) -> str:
    """A value for an error's message, whose end is left out where it is long."""
    if isinstance(value, float):
        return decimals(np.array([value]))[0]
    encoder = json.JSONEncoder(indent=4, ensure_ascii=False)
    text = ""
    for piece in encoder.iterencode(value):
        text += piece
        if len(text) > _SHOWN:
            return f"{text[:_SHOWN]}..."
    return text
