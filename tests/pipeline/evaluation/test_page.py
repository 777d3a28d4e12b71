"""The parts of pages: text stays text, tables become cards, names of what is inside are joined."""

from __future__ import annotations

from xml.etree import ElementTree

from pipeline.evaluation.page import element, flat, number, page, quiet, table
from tests.pipeline.pages import EVIL, Page


def test_text_stays_text_wherever_it_stands() -> None:
    made = element("p", EVIL, element("b", EVIL), EVIL, " end", title=EVIL, class_="a")
    found = Page(page(EVIL, [made]))
    found.require_self_contained()
    assert found.of("p") == [{"title": EVIL, "class": "a"}]
    assert found.text.endswith(f"{EVIL} {EVIL} {EVIL} end")


def test_a_row_may_become_a_card() -> None:
    rows = [("a", number("1")), (quiet("b"), "")]
    for cards in (False, True):
        made = ElementTree.tostring(table(("Name", "Count"), rows, cards=cards), "unicode")
        assert ('data-title="Count"' in made) == cards
        assert made.startswith('<div class="wide cards">' if cards else '<div class="wide">')
        assert made.count("<td") == 4
    assert "<th" not in ElementTree.tostring(table((), rows), "unicode")


def test_what_is_inside_is_named_by_the_way_to_it() -> None:
    values = {"a": 1, "b": {"c": {"d": 2.5}, "e": None}, "f": None, "g": ""}
    assert list(flat(values)) == [("a", "1"), ("b.c.d", "2.5"), ("g", "")]
