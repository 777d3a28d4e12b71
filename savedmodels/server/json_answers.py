"""Write tensors as bodies of REST answers, by TensorFlow Serving's rules."""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from savedmodels.server.codes import invalid

Array = np.ndarray[Any, Any]
BYTES_SUFFIX = "_bytes"  # TensorFlow Serving's sign that a string output is written as base64
# Without uint16, which TensorFlow Serving cannot write as JSON.
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")


class Form(enum.Enum):
    """Layout of a request's samples, and of the answer's."""

    ROW = "instances"
    COLUMNAR = "inputs"


def write_answer(outputs: Mapping[str, Array], form: Form) -> bytes:
    """Write the body of an answer; a single output is written without its name."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if form is Form.COLUMNAR:
        texts = {name: _texts(name, array, 0)[0] for name, array in outputs.items()}
        return _body("outputs", _object_of(texts))
    size = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size not in (-1, len(array)):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}"
            )
        size = len(array)
    columns = [_texts(name, array, 1) for name, array in outputs.items()]
    rows = (_object_of(dict(zip(outputs, row, strict=True))) for row in zip(*columns, strict=True))
    return _body("predictions", "[" + ", ".join(rows) + "\n    ]")


def write_error(message: str) -> bytes:
    """Write the body of an error."""
    # A message may show bytes of the request that are not UTF-8.
    shown = message.encode("utf-8", "replace").decode()
    return _body("error", json.dumps(shown, ensure_ascii=False))


def _texts(name: str, array: Array, dimension: int) -> list[str]:
    """Write each row of an array if `dimension` is 1, or the whole array if it is 0."""
    if array.size:
        texts = _leaves(name, array)
        # From the inside out, so that all values are formatted at once.
        for size in reversed(array.shape[dimension:]):
            texts = [
                f"[{', '.join(texts[start : start + size])}]"
                for start in range(0, len(texts), size)
            ]
        return texts
    # Without values nothing is left to join, but brackets still show the shape.
    return [json.dumps(element.tolist()) for element in (array if dimension else [array])]


def _leaves(name: str, array: Array) -> list[str]:
    flat = array.ravel()
    if array.dtype in (np.float32, np.float64):
        return _decimals(flat)
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


def _decimals(values: Array) -> list[str]:
    short = [f"{value:.6g}" for value in values.tolist()]
    # Six digits are shorter, but an answer must keep its exact value.
    exact = np.array(short, values.dtype) == values
    digits = 9 if values.dtype == np.float32 else 17
    return [
        _decimal(text if done else f"{value:.{digits}g}")
        for text, done, value in zip(short, exact.tolist(), values.tolist(), strict=True)
    ]


def _decimal(text: str) -> str:
    if text[-1].isdigit():
        # TensorFlow Serving writes every float with a point or an exponent.
        return text if "." in text or "e" in text else f"{text}.0"
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]


def _object_of(texts: Mapping[str, str]) -> str:
    if len(texts) == 1:
        return next(iter(texts.values()))
    members = ", ".join(
        f"{json.dumps(name, ensure_ascii=False)}: {text}" for name, text in texts.items()
    )
    return f"{{{members}}}"


def _body(key: str, text: str) -> bytes:
    return f'{{\n    "{key}": {text}\n}}\n'.encode("utf-8", "surrogateescape")
