"""Parse the class names of `--classes`, such as `cat,dog,"red, or brown"`."""

from __future__ import annotations

import csv

from pipeline.errors import UserError


def parse_classes(text: str) -> tuple[str, ...]:
    """Split a text into class names; quotes enclose a name with a comma.

    Raises:
        UserError: if there is no name, or a quotation mark is not closed.

    Example:
        >>> parse_classes('cat, "red, or brown"')
        ('cat', 'red, or brown')
    """
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise UserError(f'`--classes` must be like cat,"a,b". Received: {text}') from error
    names = tuple(name.strip() for row in rows for name in row)
    if not names or not all(names):
        raise UserError(f"`--classes` must be names with commas between. Received: {text}")
    return names
