"""Refuse to train on pictures in colour with a preset for grey pictures unless the user agrees."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import DataConfig
from pipeline.data.checking.measurement import is_in_colour
from pipeline.data.records import is_prepared
from pipeline.data.sources import open_source
from pipeline.errors import UserError


def require_grey_pictures(preset: str, data: DataConfig) -> None:
    """Refuse a source in colour that a preset with `data.channels=1` would turn grey.

    Only for users who have not chosen `data.channels`.

    Raises:
        UserError: if the source is in colour, or there is no such source.
    """
    if data.channels == 3 or data.source is None or is_prepared(Path(data.source).expanduser()):
        return
    if is_in_colour(open_source(data.source)):
        raise UserError(
            f"the preset {preset} is for grey pictures, but {data.source} is in colour: pass "
            "`--set data.channels=3` to keep colours, or `--set data.channels=1` to make them grey"
        )
