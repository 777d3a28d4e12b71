"""Names of classes in one text."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.options import parse_classes
from pipeline.config import DataConfig
from pipeline.data.shards import chosen_classes
from pipeline.errors import UserError

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1)


@given(st.lists(NAMES.filter(lambda name: name == name.strip()), min_size=1))
def test_any_names_come_back(names: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    assert parse_classes(text.getvalue()) == tuple(names)


@pytest.mark.parametrize("text", ["", " ", "a,,b", ",", 'a,"b'])
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="`--classes` must be"):
        parse_classes(text)


def test_numbers_are_names_and_accents_are_one_whatever_their_form() -> None:
    there = ("3", "5", "cafe\u0301", "red, or brown")
    for asked, taken in (
        ([3, 5], ("3", "5")),
        (["café"], ("cafe\u0301",)),
        (["red, or brown", "3"], ("3", "red, or brown")),
        (None, there),
    ):
        data = DataConfig.model_validate({"source": "x", "classes": asked})
        assert chosen_classes(there, data) == taken
