"""Bodies of requests as tensors: TensorFlow Serving's rules, messages and forms."""

from __future__ import annotations

import contextlib
import json
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from savedmodels.server.codes import Code, Refused
from savedmodels.server.json_answers import Form
from savedmodels.server.json_tensors import read_document, read_tensors
from savedmodels.server.signature import NUMPY_TYPES, TensorInfo
from savedmodels.server.time_left import set_deadline


def inputs(**types: str) -> dict[str, TensorInfo]:
    return {name: TensorInfo(f"{name}:0", dtype, None) for name, dtype in types.items()}


ONE = inputs(x="float")
TWO = inputs(x="float", y="int32")


def read(text: str, known: dict[str, TensorInfo]) -> tuple[Form, dict[str, np.ndarray]]:
    return read_tensors(read_document(text.encode()), known)


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


ELEMENT = "Failed to process element: {} of 'instances' list. "
KEYED = "Failed to process element: {} key: {} of 'instances' list. Error: INVALID_ARGUMENT: "
UNFIT = "JSON Value: {} is not of expected type: {}"


@pytest.mark.parametrize(
    ("text", "known", "beginning"),
    [
        ("5", ONE, "JSON Value: 5 Is not object"),
        ("[1]", ONE, "JSON Value: a list Is not object"),
        ("{}", ONE, "Missing 'inputs' or 'instances' key"),
        ('{"signature_name": 1}', ONE, "JSON Value: 'signature_name' key must be a string"),
        ('{"instances": [1], "inputs": 1}', ONE, "JSON Value: Expecting only one of"),
        ('{"instances": 1}', ONE, "JSON Value: Expecting 'instances' to be a list"),
        ('{"instances": []}', ONE, "JSON Value: No values in 'instances' array"),
        ('{"instances": [1]}', TWO, "instances is a plain list"),
        ('{"instances": [{"x": 1, "y": 1}, [1]]}', TWO, "Expecting object"),
        ('{"instances": [1, {"x": 1}]}', ONE, "Expecting value/list but got object at item 1"),
        ('{"instances": [{"x": 1, "y": 1}, {"x": 1, "y": 1, "z": 1}]}', TWO, ELEMENT.format(1)),
        ('{"instances": [{"x": 1}]}', TWO, ELEMENT.format(0) + "Keys must be equal to: x,y"),
        ('{"instances": [{"x": [1], "y": 1}, {"x": [1, 2], "y": 1}]}', TWO, KEYED.format(1, "x")),
        ('{"instances": [[1, 2], [3, "a"]]}', ONE, ELEMENT.format(1)),
        ('{"instances": [[[1, 2]], [[1], [2]]]}', ONE, ELEMENT.format(1)),
        ('{"instances": [1, 1e39]}', ONE, ELEMENT.format(1)),
        ('{"instances": [{"b64": "a"}]}', inputs(x="string"), ELEMENT.format(0)),
        ('{"instances": [1]}', inputs(x="half"), ELEMENT.format(0) + "Error: UNIMPLEMENTED: "),
        ('{"inputs": [[1], [2, 3]]}', ONE, "Encountered list at unexpected size: 2"),
        ('{"inputs": [1, [2]]}', ONE, "Encountered list at unexpected level"),
        ('{"inputs": [[1], 2]}', ONE, "JSON Value: 2 found at incorrect level"),
        ('{"inputs": [1]}', TWO, "inputs is a plain value/list"),
        ('{"inputs": {"x": 1}}', TWO, "Missing named input: y in 'inputs' object."),
        ('{"inputs": "a"}', ONE, UNFIT.format('"a"', "float")),
        ('{"inputs": true}', ONE, UNFIT.format("true", "float")),
        ('{"inputs": 1}', inputs(x="bool"), UNFIT.format("1", "bool")),
        ('{"inputs": [{"b64": "aGk="}]}', ONE, UNFIT.format("an object", "float")),
        ('{"inputs": 1.5}', inputs(x="int64"), UNFIT.format("1.5", "int64")),
        ('{"inputs": 1.0}', inputs(x="int32"), UNFIT.format("1.0", "int32")),
        ('{"inputs": 2147483648}', inputs(x="int32"), UNFIT.format("2147483648", "int32")),
        ('{"inputs": [-1]}', inputs(x="uint8"), UNFIT.format("-1", "uint8")),
        ('{"inputs": 16777216}', ONE, "Cannot convert JSON value: 16777216 to float without loss"),
        ('{"inputs": 1e39}', ONE, "Cannot convert JSON value: 1e+39 to float without loss"),
        ('{"inputs": 1}', inputs(x="string"), UNFIT.format("1", "string")),
        ('{"inputs": [{"b65": ""}]}', inputs(x="string"), "JSON Value: "),
        ('{"inputs": {"b64": "a*b"}}', inputs(x="string"), "Unable to base64 decode"),
        ('{"inputs": {"b64": "a"}}', inputs(x="string"), "Unable to base64 decode"),
        ('{"inputs": {"b64": "aGk===="}}', inputs(x="string"), "Unable to base64 decode"),
        (f'{{"inputs": {"[" * 65}{"]" * 65}}}', ONE, "Tensors must have at most 64 dimensions"),
    ],
)
def test_faults_of_requests(text: str, known: dict[str, TensorInfo], beginning: str) -> None:
    with pytest.raises(Refused) as caught:
        read(text, known)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.message.startswith(beginning)


@pytest.mark.parametrize(
    ("number", "dtype", "fits"),
    [
        (2**24 - 1, "float", True),
        (-(2**24), "float", False),
        (2**64, "float", True),  # Beyond 64 bits it is read as a double.
        (4 * 10**38, "float", False),
        (2**53 - 1, "double", True),
        (2**53, "double", False),
        (10**400, "double", False),
        (2**63 - 1, "int64", True),
        (-(2**63), "int64", True),
        (2**63, "int64", False),
        (2**64 - 1, "uint64", True),
    ],
)
def test_ranges_of_numbers(number: int, dtype: str, fits: bool) -> None:
    beside = [0.5] if dtype in ("float", "double") else []
    for values in ([number], [0, number], [*beside, number]):
        with contextlib.nullcontext() if fits else pytest.raises(Refused):
            _, arrays = read(json.dumps({"inputs": values}), inputs(x=dtype))
            assert arrays["x"].tolist() == np.array(values, NUMPY_TYPES[dtype]).tolist()


@pytest.mark.parametrize("dtype", ["half", "bfloat16", "complex64"])
@pytest.mark.parametrize("sent", ["[1]", "[]", '{"x": []}'])
def test_types_that_json_cannot_hold(dtype: str, sent: str) -> None:
    with pytest.raises(Refused) as caught:
        read(f'{{"inputs": {sent}}}', inputs(x=dtype))
    assert caught.value.code is Code.UNIMPLEMENTED
    assert caught.value.message.startswith("Conversion of JSON Value: ")


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(Refused, match=r"a\" is not of expected type: float$"):
        read(json.dumps({"inputs": "a" * 100_000}), ONE)


@pytest.mark.parametrize("depth", [*range(900, 1010, 3), 200_000])
def test_depth_is_refused(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for text in (deep, f'{{"inputs": {deep}}}', f'{{"instances": [{deep}, 1, {deep}]}}'):
        with pytest.raises(Refused) as caught:
            read(text, ONE)
        assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("form", "value", "dtype"),
    [
        ("inputs", '"a"', "string"),
        ("inputs", '{"b64": ""}', "string"),
        ("inputs", "1, 0.5", "float"),
        ("instances", '{"x": 1}', "float"),
    ],
)
def test_what_nobody_waits_for_is_read_no_further(form: str, value: str, dtype: str) -> None:
    text = f'{{"{form}": [{", ".join([value] * 10**4)}]}}'
    with set_deadline(time.monotonic() - 1), pytest.raises(Refused) as caught:
        read(text, inputs(x=dtype))
    assert caught.value.code is Code.DEADLINE_EXCEEDED


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
        _, arrays = read_tensors({"inputs": {"x": value}}, inputs(x=dtype))
    except Refused as refused:
        told = refused.message
    else:
        assert isinstance(arrays["x"], np.ndarray)
    assert "dimensions" not in told  # None is so deep: it must have another fault.


@given(st.lists(TREES, min_size=1, max_size=4))
def test_rows_are_tensors_or_refused(rows: list[Any]) -> None:
    for known in (ONE, TWO, inputs(x="string")):
        with contextlib.suppress(Refused):
            form, arrays = read_tensors({"instances": rows}, known)
            assert form is Form.ROW
            assert {len(array) for array in arrays.values()} == {len(rows)}


EDGES = [power + step for power in (2**24, 2**31, 2**53, 2**63, 2**64) for step in (-1, 0, 1)]
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([sign * edge for edge in EDGES for sign in (1, -1)])
    | st.sampled_from([3.4e38, -3.5e38, 1.8e308, math.nan, math.inf])
)


@given(
    st.lists(NUMBERS, min_size=1, max_size=5),
    st.sampled_from(["float", "double", "int8", "uint32", "int64", "uint64"]),
)
def test_numbers_fit_together_as_each_does_alone(numbers: list[float], dtype: str) -> None:
    def fits(values: list[float]) -> bool:
        try:
            _, arrays = read_tensors({"inputs": values}, inputs(x=dtype))
        except Refused:
            return False
        np.testing.assert_array_equal(arrays["x"], np.array(values, NUMPY_TYPES[dtype]))
        return True

    assert fits(numbers) == all(fits([number]) for number in numbers)


@given(hnp.array_shapes(min_dims=1, max_dims=4, min_side=2, max_side=3), st.data())
def test_a_fault_is_named_by_its_row(shape: tuple[int, ...], data: st.DataObject) -> None:
    rows = np.zeros(shape).tolist()
    place = [data.draw(st.integers(int(not level), n - 1)) for level, n in enumerate(shape)]
    level = data.draw(st.integers(1, len(place)))
    at = rows
    for index in place[: level - 1]:
        at = at[index]
    at[place[level - 1]] = data.draw(st.sampled_from(["a", None, [], [0.0], {}]))
    with pytest.raises(Refused) as caught:
        read_tensors({"instances": [{"x": row, "y": 0} for row in rows]}, TWO)
    assert caught.value.message.startswith(KEYED.format(place[0], "x"))
