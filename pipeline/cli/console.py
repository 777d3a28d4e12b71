"""Console output of commands: lines, errors and progress; a closed pipe does not end the work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, NoReturn, cast

import typer
from rich.console import Console

from pipeline.cli.lasting_stream import LastingStream
from pipeline.errors.shown import shown

LINE_EVERY = 10_000  # Items of work between two progress lines, outside a terminal.


def terminal(*, quiet: bool = False) -> Console:
    """Make the console for progress and results, which prints text without markup."""
    # No markup: brackets in file names and users' text must print as they are.
    output = cast("IO[str]", LastingStream())
    return Console(file=output, quiet=quiet, markup=False, highlight=False)


def say(console: Console, text: str) -> None:
    """Print one line; control characters in names are escaped."""
    # Soft wrap inserts no line breaks, so that a long path can be copied.
    console.print(shown(text), markup=False, highlight=False, soft_wrap=True)


def fail(message: str, status: int) -> NoReturn:
    """End the command with one line on standard error and an exit status."""
    # Write line and newline at once, so that lines of several workers never mix in a log.
    sys.stderr.write(f"growgan: {shown(message)}\n")
    raise typer.Exit(status)


@contextmanager
def progress(console: Console, title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar in a terminal, lines elsewhere; yields a callback to call as `(done, total)`."""
    # Import here, not at the top: every command imports this file, and help must be quick.
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),  # A file name in it may have brackets.
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,  # Else bars would fill a log.
    )
    task = bar.add_task(title, total=None, visible=False)  # Shown only once there is work.

    def report(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total, visible=True)
        # Log every LINE_EVERY items, and always the last.
        if not console.is_terminal and (done == total or done % LINE_EVERY == 0):
            say(console, f"{title}: {done}/{total}")

    with bar:
        yield report
