"""Show progress: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.cli.tables import say

LINE_EVERY = 10_000
"""Steps between two plain lines."""


def reporter(console: Console, title: str) -> tuple[Progress, Callable[[int, int], None]]:
    """Make a progress bar, and the function `(done, total)` that moves it."""
    progress = Progress(
        TextColumn("{task.description}", markup=False),  # a file name in it may have brackets
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = progress.add_task(title, total=None, visible=False)  # shown only once there is work

    def report(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total, visible=True)
        # A log needs few lines, and always the last one.
        if not console.is_terminal and (done == total or done % LINE_EVERY == 0):
            say(console, f"{title}: {done}/{total}")

    return progress, report
