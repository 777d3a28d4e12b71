"""Tensors as bodies of answers: TensorFlow Serving's rules, messages and forms."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from savedmodels.server.codes import Refused
from savedmodels.server.json_answers import Form, write_answer, write_error

NUMBERS = st.sampled_from([np.float32, np.float64, np.int8, np.int64, np.uint8, np.uint64])


@given(
    NUMBERS.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(max_dims=4, max_side=3))),
)
def test_numbers_come_back_as_they_were(array: np.ndarray) -> None:
    by_column = json.loads(write_answer({"x": array}, Form.COLUMNAR))["outputs"]
    by_row = json.loads(write_answer({"x": array}, Form.ROW))["predictions"]
    for found in (by_column, by_row):
        np.testing.assert_array_equal(np.array(found, array.dtype).reshape(array.shape), array)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (2, 0, 3)])
def test_empty_tensors_keep_their_form(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.float32)
    assert json.loads(write_answer({"x": array}, Form.COLUMNAR))["outputs"] == array.tolist()
    assert json.loads(write_answer({"x": array}, Form.ROW))["predictions"] == array.tolist()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.2), "0.2"),
        (np.float32(1 / 3), "0.333333343"),
        (np.float64(1 / 3), "0.33333333333333331"),
        (np.float32(9e6), "9e+06"),
        (np.float32(3e-5), "3e-05"),
        (np.float32(2), "2.0"),
        (np.float32(-0.0), "-0.0"),
        (np.float32("nan"), "NaN"),
        (np.float32("-inf"), "-Infinity"),
        (np.int32(-3), "-3"),
        (np.bool_(True), "true"),
    ],
)
def test_numbers_are_written_as_tensorflow_serving_writes_them(value: Any, text: str) -> None:
    body = write_answer({"x": np.asarray(value)}, Form.COLUMNAR).decode()
    assert body == f'{{\n    "outputs": {text}\n}}\n'


def test_outputs_by_name_and_bytes_as_base64() -> None:
    raw = b"\x89PNG\xff"
    outputs = {
        "image_bytes": np.array([raw, b""], object),
        "text": np.array(["é".encode(), b'"'], object),
    }
    coded = [{"b64": base64.b64encode(raw).decode()}, {"b64": ""}]
    assert json.loads(write_answer(outputs, Form.COLUMNAR)) == {
        "outputs": {"image_bytes": coded, "text": ["é", '"']}
    }
    assert json.loads(write_answer(outputs, Form.ROW)) == {
        "predictions": [
            {"image_bytes": coded[0], "text": "é"},
            {"image_bytes": coded[1], "text": '"'},
        ]
    }


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"x": np.float32(1)}, "Tensor name: x has no shape information "),
        (
            {"x": np.zeros(2), "y": np.zeros(3)},
            "Tensor name: y has inconsistent batch size: 3 expecting: 2",
        ),
        ({"x": np.zeros(2, np.float16)}, "Failed to write JSON value for tensor type: float16"),
        ({}, "Cannot convert empty tensor map to JSON"),
    ],
)
def test_outputs_that_have_no_row_form(outputs: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as caught:
        write_answer({name: np.asarray(array) for name, array in outputs.items()}, Form.ROW)
    assert caught.value.message == message


@given(st.text('aé\n"\ud83d\ude00\udcff'))
def test_errors_are_json_whatever_they_show(message: str) -> None:
    """Such as bytes of a request that are not UTF-8."""
    shown = message.encode("utf-8", "replace").decode()
    assert json.loads(write_error(message).decode("utf-8", "strict")) == {"error": shown}
