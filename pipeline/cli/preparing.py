"""Prepare the images of a run, and ask before colour is lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.cli.console import progress, say
from pipeline.cli.tables import counted
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.config import Config, DataConfig
    from pipeline.data.records import RecordSet


def require_grey_pictures(preset: str, data: DataConfig) -> None:
    """Refuse pictures in colour that a grey preset would turn grey without the user's wish."""
    from pipeline.data.checking.measurement import is_in_colour
    from pipeline.data.records import is_prepared
    from pipeline.data.sources import open_source

    if data.channels == 3 or data.source is None or is_prepared(Path(data.source).expanduser()):
        return
    if is_in_colour(open_source(data.source)):
        raise UserError(
            f"the preset {preset} is for grey pictures, but {data.source} is in colour: pass "
            "`--set data.channels=3` to keep colours, or `--set data.channels=1` to make them grey"
        )


def prepare_records(console: Console, settings: Config) -> RecordSet:
    """Prepare the images of a run if they are not, and print what was left out."""
    from pipeline.data.prepare import records_for

    schedule = settings.schedule
    with progress(console, "preparing images") as report:
        records = records_for(
            settings.data, schedule.build().resolutions, report, width=schedule.width
        )
    say(console, f"{records.count} images in {records.folder}")
    if records.left_out:
        say(console, f"left out, as they are not read: {counted(records.left_out)}")
    if records.skipped:
        names = ", ".join(skipped.name for skipped in records.skipped[:5])
        say(console, f"{len(records.skipped)} skipped as unreadable: {names}")
    return records
