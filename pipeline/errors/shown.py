"""Escape names of files and classes, to show them in a terminal, in JSON and on pages."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"  # Characters of zero width that Persian, Indian languages and emoji need.


def shown(name: str) -> str:
    r"""Escape what is not text in a name: control characters, and bytes that are not UTF-8.

    Example:
        >>> shown("a\x1b[31m\n\udcff.png")
        'a\\x1b[31m\\n\\xff.png'
    """
    # The name of a file may hold any bytes: a terminal obeys some, a line ends at others, and JSON
    # cannot hold those that are not Unicode.
    return "".join(map(_show_character, name))


def _show_character(character: str) -> str:
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs":
        return character
    if "\udc80" <= character <= "\udcff":  # Python's substitute for a byte that is not UTF-8.
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
