"""Tables and lines for people, whole wherever they are not shown in a terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from pipeline.errors.shown import shown

LISTED = 5
"""Names that are spelled out; reports have all."""
WIDEST = 10_000
"""Columns of a table that is not shown in a terminal: none of its lines is broken."""


def new_table(*titles: str, words: Collection[str] = ()) -> Table:
    """A table without lines; its first column and those in `words` are of words, not numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        left = number == 0 or title in words
        table.add_column(title, justify="left" if left else "right", overflow="fold")
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table; where there is no terminal, none of its lines is broken."""
    if console.is_terminal:
        console.print(table)
        return
    wide = Console(file=console.file, width=WIDEST, markup=False, highlight=False)
    wide.print(table)


def say(console: Console, text: str) -> None:
    """Print a line, in which no name moves the cursor or ends the line."""
    console.print(shown(text), markup=False, highlight=False, soft_wrap=True)


def listed(names: Sequence[str], most: int = LISTED, joint: str = ", ") -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - most
    return joint.join(names[:most]) + (f" and {more} more" if more > 0 else "")


def counted(counts: Mapping[str, int] | Mapping[int, int]) -> str:
    """The first of some names with their numbers, and how many more there are."""
    return listed([f"{name} ({count})" for name, count in counts.items()])
