"""Write tensors as the JSON of REST answers, formatted as TensorFlow Serving does."""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from savedmodels.server.codes import invalid

Array = np.ndarray[Any, Any]
BYTES_SUFFIX = "_bytes"
"""Ending of the names of string outputs that TensorFlow Serving writes as base64."""
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")
"""Integer types that TensorFlow Serving can write as JSON; uint16 is not one."""


class Form(enum.Enum):
    """Layout of a request and its answer, by rows (samples) or columns (tensors): the JSON key."""

    ROW = "instances"
    COLUMNAR = "inputs"


def write_answer(outputs: Mapping[str, Array], form: Form) -> bytes:
    """Write the body of an answer; a single output is written without its name."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if form is Form.COLUMNAR:
        texts = {name: _format_array(name, array, 0)[0] for name, array in outputs.items()}
        return _write_body("outputs", _join_outputs(texts))
    size = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size not in (-1, len(array)):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}"
            )
        size = len(array)
    columns = [_format_array(name, array, 1) for name, array in outputs.items()]
    rows = (dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True))
    return _write_body("predictions", "[" + ", ".join(map(_join_outputs, rows)) + "\n    ]")


def write_error(message: str) -> bytes:
    """Write the body of an error."""
    # Replace bytes that are not UTF-8: a message may quote them from the request.
    text = message.encode("utf-8", "replace").decode()
    return _write_body("error", json.dumps(text, ensure_ascii=False))


def _format_array(name: str, array: Array, dimension: int) -> list[str]:
    """Format each row of an array if `dimension` is 1, or the whole array if it is 0."""
    if array.size:
        texts = _format_values(name, array)
        # Join values to lists, and lists to lists, from the last dimension outwards.
        for size in reversed(array.shape[dimension:]):
            texts = [
                f"[{', '.join(texts[start : start + size])}]"
                for start in range(0, len(texts), size)
            ]
        return texts
    # Write an empty array with brackets that show its shape, such as [[], []].
    return [json.dumps(element.tolist()) for element in (array if dimension else [array])]


def _format_values(name: str, array: Array) -> list[str]:
    flat = array.ravel()
    if array.dtype in (np.float32, np.float64):
        return _format_floats(flat)
    if array.dtype == np.bool_:
        return ["true" if value else "false" for value in flat]
    if array.dtype.name in INTEGERS:
        return list(map(str, flat.tolist()))
    if array.dtype == np.object_:
        if name.endswith(BYTES_SUFFIX):
            return [f'{{"b64": "{base64.b64encode(value).decode()}"}}' for value in flat]
        return [
            json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=False)
            for value in flat
        ]
    raise invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")


def _format_floats(values: Array) -> list[str]:
    short = [f"{value:.6g}" for value in values.tolist()]
    # Keep six digits where they give the exact value, otherwise write as many as that takes.
    is_exact = np.array(short, values.dtype) == values
    digits = 9 if values.dtype == np.float32 else 17
    return [
        _to_json_float(text if exact else f"{value:.{digits}g}")
        for text, exact, value in zip(short, is_exact.tolist(), values.tolist(), strict=True)
    ]


def _to_json_float(text: str) -> str:
    if text[-1].isdigit():
        # TensorFlow Serving writes every float with a point or an exponent.
        return text if "." in text or "e" in text else f"{text}.0"
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]


def _join_outputs(texts: Mapping[str, str]) -> str:
    if len(texts) == 1:
        return next(iter(texts.values()))
    members = ", ".join(
        f"{json.dumps(name, ensure_ascii=False)}: {text}" for name, text in texts.items()
    )
    return f"{{{members}}}"


def _write_body(key: str, text: str) -> bytes:
    return f'{{\n    "{key}": {text}\n}}\n'.encode("utf-8", "surrogateescape")
