"""A page as a tree of elements: one HTML file that stands alone, to be looked at or printed."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, TypeAlias
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

Content: TypeAlias = Element | str

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, content: Iterable[Element]) -> str:
    """A page as HTML: no script, and nothing is loaded from outside it."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", (resources.files("pipeline.evaluation") / "page.css").read_text()),
    )
    root = element("html", head, element("body", *content), lang="en")
    return f"<!doctype html>\n{ElementTree.tostring(root, 'unicode', method='html')}\n"


def element(tag: str, *children: Content, **attributes: str) -> Element:
    """An element; whatever a text holds, it is text in the page."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    made = Element(tag, named)
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + child
        else:
            made.text = (made.text or "") + child
    return made


def table(
    titles: Sequence[str], rows: Sequence[Sequence[Content]], *, cards: bool = False
) -> Element:
    """A table, which scrolls by itself where it is too wide.

    Args:
        titles: Titles of the columns; none for a table without a head.
        rows: Rows of cells; what is no `td` becomes one.
        cards: Whether each row becomes a card where the page is narrow; for rows with sentences.
    """
    head = [element("tr", *(element("th", title) for title in titles))] if titles else []
    body = [element("tr", *map(_cell, row)) for row in rows]
    if cards:
        for row in body:
            for title, cell in zip(titles, row, strict=True):
                cell.set("data-title", title)
    return element("div", element("table", *head, *body), class_="wide cards" if cards else "wide")


def number(text: str) -> Element:
    """A cell that stands at the right."""
    return element("td", text, class_="number")


def quiet(text: str) -> Element:
    """Text that stands back."""
    return element("span", text, class_="quiet")


def figure(png: bytes, title: str, caption: str) -> Element:
    """A picture in the page itself."""
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    return element(
        "figure",
        element("figcaption", element("strong", title), f" {caption}"),
        element("img", src=source, alt=title),
    )


def flat(values: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested values to names and values; None is left out."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{inside}{name}.")
        elif value is not None:
            yield f"{inside}{name}", str(value)


def _cell(content: Content) -> Element:
    if isinstance(content, Element) and content.tag == "td":
        return content
    return element("td", content)
