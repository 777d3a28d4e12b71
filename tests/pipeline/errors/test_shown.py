"""Names from outside in lines."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors.shown import shown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain name_ü 日本\u3000猫\u00a0x 👩\u200d🚀\u0645\u06cc\u200c\u062e", None),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x1b]0;title\a", r"\x1b[31mred\x1b]0;title\x07"),
        ("\x7f\x85\u2028\u202etxt.gpj", r"\x7f\x85\u2028\u202etxt.gpj"),
        (os.fsdecode(b"caf\xe9.png"), r"caf\xe9.png"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_is_no_text_is_escaped(name: str, expected: str | None) -> None:
    assert shown(name) == (name if expected is None else expected)


@given(st.binary())
def test_any_file_name_becomes_one_line_of_utf8(name: bytes) -> None:
    line = shown(os.fsdecode(name))
    line.encode()
    assert len(line.splitlines()) <= 1
    assert not any(ord(each) < 32 or 0x7F <= ord(each) < 0xA0 for each in line)
