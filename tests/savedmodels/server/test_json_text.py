"""JSON of requests: what is read as TensorFlow Serving reads it, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savedmodels.server.codes import Code, Refused
from savedmodels.server.json_text import parse

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


def fault_of(body: bytes) -> str:
    """The message of a refusal, which is of the right kind; empty for a value."""
    try:
        parse(body)
    except Refused as refused:
        found = refused
    else:
        return ""
    assert found.code is Code.INVALID_ARGUMENT
    assert found.message.startswith("JSON Parse error: ")
    return found.message


@given(VALUES, st.booleans(), st.booleans())
def test_reads_what_any_writer_writes(value: Any, ascii_only: bool, dense: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":") if dense else None)
    assert repr(parse(text.encode())) == repr(parse(b"\xef\xbb\xbf" + text.encode()))
    assert parse(text.encode()) == value


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_a_fault(body: bytes) -> None:
    fault_of(body)


@given(VALUES, st.data())
def test_damaged_text_is_a_value_or_a_fault(value: Any, data: st.DataObject) -> None:
    body = json.dumps(value).encode()
    at = data.draw(st.integers(0, len(body) - 1))
    fault_of(body[:at] + data.draw(st.binary(max_size=2)) + body[at + 1 :])


@given(
    st.lists(st.sampled_from(["\\ud83d", "\\ude00", "\\u0041", "\\\\", "\\n", "ud83d", "ude00"]))
)
def test_surrogates_come_in_pairs(parts: list[str]) -> None:
    text = f'"{"".join(parts)}"'
    alone = any(0xD800 <= ord(letter) <= 0xDFFF for letter in json.loads(text))
    assert fault_of(text.encode()).endswith("no pair" if alone else "")
    if not alone:
        assert parse(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "1 2", "instances = [1]", "nul", "[1,]", "-x", "Infinite", '{"a":1,}', "{a:1}",
        '{"a" 1}', '{"a":1 "b":2}', "[1 2]", "[1", '"\\u12x4"', '"\\ud800"', '"\\ud800\\u0041"',
        '"\\q"', '"abc', '"a\nb"', "1.", "1e", "01", "+1", ".5", "0x1", '{"é":}', "[1]\0", "'a'",
        "[1e999]", "-1e400", "9" * 400 + ".0", "9" * 250 + "e99", "9" * 5000,
    ],
)  # fmt: skip
def test_faults(text: str) -> None:
    assert fault_of(text.encode())
    assert fault_of(text.encode("utf-16"))


def test_a_fault_is_named_with_its_place() -> None:
    assert fault_of(b"") == "JSON Parse error: The document is empty"
    assert fault_of(b'{"instances": [1 2]}').endswith(" at offset: 17")


def test_bare_numbers_that_are_none() -> None:
    values = parse(b"[NaN, Infinity, -Infinity, 1e308]")
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 1e308]


def test_of_equal_keys_the_first_counts() -> None:
    assert parse(b'{"a": 1, "b": 3, "a": 2}') == {"a": 1, "b": 3}


def test_integers_are_exact() -> None:
    assert parse(b"[9007199254740993, -9223372036854775808]") == [2**53 + 1, -(2**63)]


def test_bytes_that_are_no_text_pass_through() -> None:
    assert parse(b'"\xff"').encode("utf-8", "surrogateescape") == b"\xff"


@pytest.mark.parametrize("depth", [*range(900, 1010, 3), 5000, 200_000])
def test_depth_ends_no_process(depth: int) -> None:
    for body in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        assert fault_of(body) in ("", "JSON Parse error: Values are nested too deeply")
    assert fault_of(b"[" * depth)
