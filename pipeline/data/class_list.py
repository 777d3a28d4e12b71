"""Names of classes in one text, as `--classes` takes them: `cat,dog,"red, or brown"`."""

from __future__ import annotations

import csv

from pipeline.errors import UserError


def parse_classes(text: str) -> tuple[str, ...]:
    """The names; one that holds a comma stands in quotation marks.

    Raises:
        UserError: if there is none, or a quotation mark has no second.

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
