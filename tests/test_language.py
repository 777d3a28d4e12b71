"""Words: each summary says what it is about by itself, and each class has a name of its own."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NO_HEAD = re.compile(r"(Of|What|Whether|As|That|Where|How)\b")


def test_no_summary_begins_without_a_verb_or_noun_of_its_own() -> None:
    found = [
        f"{file.relative_to(ROOT)}: {summary}"
        for folder in ("layers", "savedmodels", "pipeline")
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if NO_HEAD.match(summary := (ast.get_docstring(node) or "").partition("\n")[0])
    ]
    assert found == []


@pytest.mark.parametrize(
    "begins",
    [
        pytest.param(r'\s*"""(Of|That|As)\b', id="docstrings of attributes"),
        pytest.param(
            r"^ {4,16}\*{0,2}\w+: (Of|That|What|As|How|Where|By|Whose|To|From|In|For) ",
            id="lines of arguments",
        ),
    ],
)
def test_no_line_leaves_its_noun_to_the_name(begins: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for folder in ("layers", "savedmodels", "pipeline")
        for file in (ROOT / folder).rglob("*.py")
        for line in file.read_text().splitlines()
        if re.match(begins, line)
    ]
    assert found == []


# Each family has these two; the other is a protocol of what exports need, and its implementation.
SHARED = {"Generator", "Discriminator", "StyleSampler"}


def test_a_name_of_a_class_means_one_thing() -> None:
    names = Counter(
        node.name
        for folder in ("layers", "savedmodels", "pipeline")
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in names.items() if count > 1} == SHARED
