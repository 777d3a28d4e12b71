"""Pages as a browser takes them apart, and what is put into them."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

EVIL = "<script>alert('x')</script>\"&amp;"
VOID = {"meta", "img"}


class Page(HTMLParser):
    """A page as a browser takes it apart: tags, attributes and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, *names: str) -> list[dict[str, str]]:
        """Attributes of every tag of these names."""
        return [attributes for tag, attributes in self.tags if tag in names]

    def require_self_contained(self) -> None:
        """Nothing is left open, no script runs, and nothing is loaded from elsewhere."""
        assert self.open == []
        [policy] = [each for each in self.of("meta") if "http-equiv" in each]
        assert policy["content"].startswith("default-src 'none'")
        for tag, attributes in self.tags:
            for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                value = attributes.get(name, "#")
                if tag == "a":  # Followed by a reader alone.
                    assert not re.match(r"[a-z]+:|//", value)
                else:
                    assert value.startswith(("#", "data:image/png;base64,"))
            assert not [name for name in attributes if name.startswith("on")]
        assert not self.of("script", "link", "iframe", "object", "base", "form")
        assert not re.search(r"url\((?!#)|@import|https?:", self.html)

    @property
    def text(self) -> str:
        """All that is read."""
        return " ".join(" ".join(self.texts).split())


def picture(value: int) -> bytes:
    """A PNG of one colour."""
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()
