"""JSON as RapidJSON reads it: its extensions, its faults and their offsets."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savedmodels.server import json_text
from savedmodels.server.codes import Refused
from savedmodels.server.time_left import until

LARGE = b"1e100"
"""A text with this is read with more care, and more slowly."""

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_reads_what_any_writer_writes(value: object, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert json_text.parse(body) == value
    assert json_text.parse(b"[" + body + b", " + LARGE + b"]") == [value, 1e100]


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_a_fault_inside_them(body: bytes) -> None:
    message = outcome(json_text.parse, body)
    if message.startswith("JSON Parse error") and body:
        assert 0 <= int(message.rpartition("offset: ")[2]) <= len(body)


@given(st.lists(st.sampled_from(["\\ud83d", "\\ude00", "\\u0041", "\\\\", "ud83d", "ude00"])))
def test_surrogates_are_a_pair_or_a_fault_for_both_readers(parts: list[str]) -> None:
    body = f'["{"".join(parts)}"'.encode()
    quick, careful = (outcome(json_text.parse, body + end) for end in (b"]", b", 1e100]"))
    assert quick.removesuffix("]") == careful.removesuffix(", 1e+100]")


@given(st.lists(st.integers(-(10**17), 10**17) | st.floats(allow_nan=False)), st.booleans())
def test_numbers_are_the_same_for_both_readers(numbers: list[float], dense: bool) -> None:
    body = json.dumps(numbers, separators=(",", ":") if dense else None).encode()[:-1]
    end = b"1e100]" if body == b"[" else b",1e100]"
    assert repr(json_text.parse(body + end)) == repr([*numbers, 1e100])


@pytest.mark.parametrize("value", [b"1", b"[1]", b'{"a":1}'])
def test_what_nobody_waits_for_is_read_no_further(value: bytes) -> None:
    body = b"[" + b",".join([value] * 10**6) + b"1e100]"
    begun = time.thread_time()
    with until(time.monotonic() - 1), pytest.raises(Refused, match="Timed out waiting"):
        json_text.parse(body)
    assert time.thread_time() - begun < 1


@given(VALUES, st.data())
def test_damage_is_told_alike_by_both_readers(value: object, data: st.DataObject) -> None:
    body = json.dumps(value).encode()
    at = data.draw(st.integers(0, len(body) - 1))
    damaged = body[:at] + data.draw(st.binary(max_size=2)) + body[at + 1 :]
    bodies = [b"[" + damaged + b", " + last + b"]" for last in (b'""', LARGE)]
    told = [outcome(json_text.parse, body) for body in bodies]
    if any(told_inside(each, len(damaged)) for each in told):
        assert told[0] == told[1]
    elif not any(each.startswith("JSON Parse error") for each in told):
        first, other = map(json_text.parse, bodies)
        assert (repr(first[:-1]), first[-1], other[-1]) == (repr(other[:-1]), "", 1e100)


def told_inside(message: str, end: int) -> bool:
    """Tell whether a message is of a fault before a place."""
    _, found, offset = message.rpartition("offset: ")
    return bool(found) and message.startswith("JSON Parse error") and int(offset) <= end


def depth_of(value: object) -> int:
    depth = 0
    while value and isinstance(value, list):
        value, depth = value[0], depth + 1
    return depth


def outcome(read: Callable[[bytes], object], body: bytes) -> str:
    try:
        value = read(body)
    except Refused as refused:
        return refused.message if body else ""
    return repr(value) if depth_of(value) < 50 else "["


@pytest.mark.parametrize(
    ("text", "fault", "offset"),
    [
        (" ", "The document is empty.", 1),
        ("1 2", "The document root must not be followed by other values.", 2),
        ("instances = [1]", "Invalid value.", 0),
        ("nul", "Invalid value.", 3),
        ("[1,]", "Invalid value.", 3),
        ("-x", "Invalid value.", 1),
        ("Infinite", "Invalid value.", 7),
        ('{"a":1,}', "Missing a name for object member.", 7),
        ("{a:1}", "Missing a name for object member.", 1),
        ('{"a" 1}', "Missing a colon after a name of object member.", 5),
        ('{"a":1 "b":2}', "Missing a comma or '}' after an object member.", 7),
        ("[1 2]", "Missing a comma or ']' after an array element.", 3),
        ("[1", "Missing a comma or ']' after an array element.", 2),
        ('"\\u12x4"', "Incorrect hex digit after \\u escape in string.", 1),
        ('"\\ud800"', "The surrogate pair in string is invalid.", 1),
        ('"\\ud800\\u0041"', "The surrogate pair in string is invalid.", 1),
        ('"\\q"', "Invalid escape character in string.", 1),
        ('"abc', "Missing a closing quotation mark in string.", 4),
        ('"a\nb"', "Invalid encoding in string.", 2),
        ("[1e999]", "Number too big to be stored in double.", 1),
        ("9" * 400, "Number too big to be stored in double.", 0),
        ("1.", "Miss fraction part in number.", 2),
        ("1e", "Miss exponent in number.", 2),
        ("01", "The document root must not be followed by other values.", 1),
        ('{"é":}', "Invalid value.", 6),
    ],
)
def test_faults_have_rapidjson_s_words_and_offsets(text: str, fault: str, offset: int) -> None:
    with pytest.raises(Refused) as caught:
        json_text.parse(text.encode())
    assert caught.value.message == f"JSON Parse error: {fault} at offset: {offset}"


def test_an_empty_body_has_a_message_of_its_own() -> None:
    with pytest.raises(Refused, match=r"^JSON Parse error: The document is empty$"):
        json_text.parse(b"")


def test_bare_numbers_that_are_none() -> None:
    values = json_text.parse(b"[NaN, Inf, Infinity, -Inf, -Infinity]")
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, math.inf, -math.inf, -math.inf]


def test_of_equal_keys_the_first_counts() -> None:
    assert json_text.parse(b'{"a": 1, "a": 2}') == {"a": 1}
    assert json_text.parse(b'{"a": Inf, "a": 2}') == {"a": math.inf}


def test_surrogate_pairs_and_bytes_that_are_no_text() -> None:
    assert json_text.parse(b'"\\ud83d\\ude00"') == "😀"
    assert json_text.parse(b'"\xff"').encode("utf-8", "surrogateescape") == b"\xff"


@pytest.mark.parametrize("depth", [900, 5000, 200_000])
def test_depth_ends_no_process(depth: int) -> None:
    for body in (b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth):
        assert outcome(json_text.parse, body).startswith(("[", "JSON Parse error: "))
