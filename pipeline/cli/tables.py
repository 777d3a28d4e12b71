"""Tables and lists of names that several commands print."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.console import Console
from rich.table import Table

LISTED = 5  # Maximum number of names to print; reports have all.
WIDEST = 10_000  # Width of tables outside a terminal, in columns; wide enough that no line wraps.


def new_table(*titles: str, words: Collection[str] = ()) -> Table:
    """Make a table without borders; the first column and `words` align left, others right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        left = number == 0 or title in words
        table.add_column(title, justify="left" if left else "right", overflow="fold")
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table; outside a terminal no line is wrapped."""
    if console.is_terminal:
        console.print(table)
        return
    # Without a terminal rich assumes 80 columns and would fold cells.
    wide = Console(file=console.file, width=WIDEST, markup=False, highlight=False)
    wide.print(table)


def join_first(names: Sequence[str], most: int = LISTED, joint: str = ", ") -> str:
    """Join the first `most` names, and add `and N more` for the rest."""
    more = len(names) - most
    return joint.join(names[:most]) + (f" and {more} more" if more > 0 else "")


def join_counts(counts: Mapping[str, int] | Mapping[int, int]) -> str:
    """Join the first LISTED names with their counts, and add `and N more` for the rest."""
    return join_first([f"{name} ({count})" for name, count in counts.items()])
