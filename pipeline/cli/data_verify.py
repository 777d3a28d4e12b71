"""Command `growgan data verify`: compare a prepared set with its checksums."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import progress, say, terminal

app = typer.Typer()


@app.command(epilog="Example: growgan data verify sets/photos")
def verify(folder: Annotated[Path, typer.Argument(help="Folder of a prepared set.")]) -> None:
    """Read every file of a prepared set and compare its checksum."""
    from pipeline.data.records import open_records
    from pipeline.data.records import verify as verify_set

    console = terminal()
    records = open_records(folder)
    with progress(console, "reading files") as report:
        verify_set(records, report)
    say(console, f"{folder} is whole: {records.count} images")
