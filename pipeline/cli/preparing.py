"""Preparation of images in `growgan train`, with its progress and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.cli.console import progress, say
from pipeline.cli.tables import join_counts

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.data.records import RecordSet


def prepare_records(console: Console, settings: Config) -> RecordSet:
    """Prepare the images of a run unless that is done, and print which pictures were left out."""
    from pipeline.data.prepare import records_for

    schedule = settings.schedule
    with progress(console, "preparing images") as report:
        records = records_for(
            settings.data, schedule.build().resolutions, report, width=schedule.width
        )
    say(console, f"{records.count} images in {records.folder}")
    if records.left_out:
        say(console, f"left out, as they are not read: {join_counts(records.left_out)}")
    if records.skipped:
        names = ", ".join(skipped.name for skipped in records.skipped[:5])
        say(console, f"{len(records.skipped)} skipped as unreadable: {names}")
    return records
