"""Bodies of requests as tensors: TensorFlow Serving's rules, messages and forms."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savedmodels.server.codes import Code, Refused
from savedmodels.server.json_answers import Form
from savedmodels.server.json_tensors import document, tensors_of
from savedmodels.server.signature import NUMPY_TYPES, TensorInfo


def inputs(**types: str) -> dict[str, TensorInfo]:
    return {name: TensorInfo(f"{name}:0", dtype, None) for name, dtype in types.items()}


ONE = inputs(x="float")
TWO = inputs(x="float", y="int32")


def read(text: str, known: dict[str, TensorInfo]) -> tuple[Form, dict[str, np.ndarray]]:
    return tensors_of(document(text.encode()), known)


@pytest.mark.parametrize(
    ("text", "known", "form", "expected"),
    [
        ('{"instances": [[1, 2], [3, 4.5]]}', ONE, Form.ROW, {"x": [[1, 2], [3, 4.5]]}),
        ('{"instances": [1, 2]}', ONE, Form.ROW, {"x": [1, 2]}),
        ('{"instances": [{"x": 1}, {"x": 2}]}', ONE, Form.ROW, {"x": [1, 2]}),
        ('{"instances": [{"x": [1], "y": 2}]}', TWO, Form.ROW, {"x": [[1]], "y": [2]}),
        ('{"inputs": [[1, 2]]}', ONE, Form.COLUMNAR, {"x": [[1, 2]]}),
        ('{"inputs": 3}', ONE, Form.COLUMNAR, {"x": 3}),
        ('{"inputs": {"x": [1], "y": 2}}', TWO, Form.COLUMNAR, {"x": [1], "y": 2}),
        ('{"inputs": {"x": 1, "y": 2, "z": 3}}', TWO, Form.COLUMNAR, {"x": 1, "y": 2}),
        ('{"inputs": []}', ONE, Form.COLUMNAR, {"x": []}),
        ('{"inputs": [[], []]}', ONE, Form.COLUMNAR, {"x": [[], []]}),
        ('{"inputs": [NaN, -Infinity]}', ONE, Form.COLUMNAR, {"x": [math.nan, -math.inf]}),
        ('{"inputs": [true, false]}', inputs(x="bool"), Form.COLUMNAR, {"x": [True, False]}),
        ('{"instances": ["é"]}', inputs(x="string"), Form.ROW, {"x": ["é".encode()]}),
        ('{"instances": [{"b64": "aGk="}]}', inputs(x="string"), Form.ROW, {"x": [b"hi"]}),
        ('{"instances": [{"b64": "aGk"}]}', inputs(x="string"), Form.ROW, {"x": [b"hi"]}),
        ('{"inputs": {"b64": "aGk="}}', inputs(x="string"), Form.COLUMNAR, {"x": b"hi"}),
    ],
)
def test_forms_of_requests(
    text: str, known: dict[str, TensorInfo], form: Form, expected: dict[str, Any]
) -> None:
    found_form, found = read(text, known)
    assert found_form is form
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert array.dtype == NUMPY_TYPES[known[name].dtype]
        np.testing.assert_array_equal(array, np.array(expected[name], array.dtype))


ELEMENT = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: {}"
KEYED = "Failed to process element: {} key: {} of 'instances' list. Error: INVALID_ARGUMENT: {}"


@pytest.mark.parametrize(
    ("text", "known", "message"),
    [
        ("5", ONE, "JSON Value: 5 Is not object"),
        ("[1]", ONE, "JSON Value: [\n    1\n] Is not object"),
        ("{}", ONE, "Missing 'inputs' or 'instances' key"),
        (
            '{"signature_name": 1}',
            ONE,
            'JSON Value: {\n    "signature_name": 1\n} not formatted correctly. '
            "'signature_name' key must be a string value.",
        ),
        (
            '{"instances": [1], "inputs": 1}',
            ONE,
            'JSON Value: {\n    "instances": [\n        1\n    ],\n    "inputs": 1\n} Not '
            "formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
        (
            '{"instances": 1}',
            ONE,
            "JSON Value: {\n    \"instances\": 1\n} Excepting 'instances' to be an list/array",
        ),
        (
            '{"instances": []}',
            ONE,
            "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
        ),
        (
            '{"instances": [1]}',
            TWO,
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map",
        ),
        (
            '{"instances": [{"x": 1, "y": 1}, [1]]}',
            TWO,
            "Expecting object but got list at item 1 of input list",
        ),
        (
            '{"instances": [1, {"x": 1}]}',
            ONE,
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            '{"instances": [{"x": 1, "y": 1}, {"x": 1, "z": 1}]}',
            TWO,
            KEYED.format(1, "z", "JSON object: does not have named input: z"),
        ),
        (
            '{"instances": [{"x": 1}]}',
            TWO,
            "Failed to process element: 0 of 'instances' list. JSON object: "
            '{\n    "x": 1\n} keys must be equal to: x,y',
        ),
        (
            '{"instances": [{"x": [1], "y": 1}, {"x": [1, 2], "y": 1}]}',
            TWO,
            KEYED.format(1, "x", "Expecting tensor size: 1 but got: 2"),
        ),
        (
            '{"instances": [[[1, 2]], [[1], [2]]]}',
            ONE,
            ELEMENT.format(1, "Expecting shape [1,2] but got: [2,1]"),
        ),
        (
            '{"instances": [[[1], 2]]}',
            ONE,
            ELEMENT.format(
                0,
                "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
            ),
        ),
        (
            '{"inputs": [[1], [2, 3]]}',
            ONE,
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (
            '{"inputs": [1, [2]]}',
            ONE,
            "Encountered list at unexpected level: 1 expected < 1",
        ),
        (
            '{"inputs": [1]}',
            TWO,
            "inputs is a plain value/list, but expecting an object as multiple "
            "input tensors required as per tensorinfo_map",
        ),
        ('{"inputs": {"x": 1}}', TWO, "Missing named input: y in 'inputs' object."),
        (
            '{"inputs": "a"}',
            ONE,
            'JSON Value: "a" Type: String is not of expected type: float',
        ),
        (
            '{"inputs": true}',
            ONE,
            "JSON Value: true Type: True is not of expected type: float",
        ),
        ('{"inputs": null}', ONE, "JSON Value: null Type: Null is not of expected type: float"),
        (
            '{"inputs": [{"b64": "aGk="}]}',
            ONE,
            'JSON Value: {\n    "b64": "aGk="\n} Type: Object is not of expected type: float',
        ),
        (
            '{"inputs": 1.5}',
            inputs(x="int64"),
            "JSON Value: 1.5 Type: Number is not of expected type: int64",
        ),
        (
            '{"inputs": 1.0}',
            inputs(x="int32"),
            "JSON Value: 1.0 Type: Number is not of expected type: int32",
        ),
        (
            '{"inputs": 2147483648}',
            inputs(x="int32"),
            "JSON Value: 2147483648 Type: Number is not of expected type: int32",
        ),
        (
            '{"inputs": 16777216}',
            ONE,
            "Cannot convert JSON value: 16777216 to float without loss of precision.",
        ),
        (
            '{"inputs": 1e39}',
            ONE,
            "Cannot convert JSON value: 1e+39 to float without loss of precision.",
        ),
        (
            '{"inputs": 1}',
            inputs(x="string"),
            "JSON Value: 1 Type: Number is not of expected type: string",
        ),
        (
            '{"inputs": [{"b65": ""}]}',
            inputs(x="string"),
            'JSON Value: {\n    "b65": ""\n} not formatted correctly for base64 data',
        ),
        ('{"inputs": {"b64": "a*b"}}', inputs(x="string"), "Unable to base64 decode"),
        ('{"inputs": {"b64": "a"}}', inputs(x="string"), "Unable to base64 decode"),
        (
            f'{{"inputs": {"[" * 65}{"]" * 65}}}',
            ONE,
            "Tensors must have at most 64 dimensions.",
        ),
    ],
)
def test_faults_of_requests(text: str, known: dict[str, TensorInfo], message: str) -> None:
    with pytest.raises(Refused) as caught:
        read(text, known)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.message == message


@pytest.mark.parametrize("dtype", ["half", "bfloat16", "complex64"])
@pytest.mark.parametrize(("sent", "shown"), [("[1]", "1"), ("[]", "[]"), ('{"x": []}', "[]")])
def test_types_that_json_cannot_hold(dtype: str, sent: str, shown: str) -> None:
    with pytest.raises(Refused) as caught:
        read(f'{{"inputs": {sent}}}', inputs(x=dtype))
    assert caught.value.code is Code.UNIMPLEMENTED
    assert caught.value.message == f"Conversion of JSON Value: {shown} to type: {dtype}"


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(Refused) as caught:
        read(json.dumps([0] * 100_000), ONE)
    assert len(caught.value.message) < 2000


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.just({"b64": "aGk="})
    | st.just({"b64": "*"})
    | st.just({})
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=8)


@given(TREES, st.sampled_from([*NUMPY_TYPES, "bfloat16", "complex64"]))
def test_a_value_is_a_tensor_or_refused_with_a_reason(value: Any, dtype: str) -> None:
    told = ""
    try:
        _, arrays = tensors_of({"inputs": {"x": value}}, inputs(x=dtype))
    except Refused as refused:
        told = refused.message
    else:
        assert isinstance(arrays["x"], np.ndarray)
    assert "dimensions" not in told  # None is so deep: it must have another fault.


@given(st.lists(TREES, min_size=1, max_size=4))
def test_rows_are_tensors_or_refused(rows: list[Any]) -> None:
    for known in (ONE, TWO, inputs(x="string")):
        with contextlib.suppress(Refused):
            form, arrays = tensors_of({"instances": rows}, known)
            assert form is Form.ROW
            assert {len(array) for array in arrays.values()} == {len(rows)}
