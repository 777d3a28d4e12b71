"""Tables and lines for people, whole wherever they are not shown in a terminal."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDEST = 10_000
"""Columns of a table that is not shown in a terminal: none of its lines is broken."""


def new_table(*titles: str, words: Collection[str] = ()) -> Table:
    """A table without lines; its first column and those in `words` are of words, not numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        left = number == 0 or title in words
        table.add_column(escape(title), justify="left" if left else "right", overflow="fold")
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table; where there is no terminal, none of its lines is broken."""
    wide = console if console.is_terminal else Console(file=console.file, width=WIDEST)
    wide.print(table)


def say(console: Console, text: str) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
