"""Names of files and classes, in a form that lines, reports and pages can hold."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Marks without width that belong to words of Persian, of Indian languages, and to emoji."""


def shown(name: str) -> str:
    r"""Escape whatever is no text in a name: bytes that are not UTF-8, control characters.

    Example:
        >>> shown("a\x1b[31m\n\udcff.png")
        'a\\x1b[31m\\n\\xff.png'
    """
    # Files may be named by any bytes: a terminal would obey some, a line would end at others, and
    # JSON cannot hold bytes that are no Unicode.
    return "".join(map(_shown, name))


def _shown(character: str) -> str:
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs":
        return character
    if "\udc80" <= character <= "\udcff":  # Python's stand-in for a byte that is not UTF-8.
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
