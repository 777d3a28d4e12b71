"""Convert the result of a step to metadata for Dagster's pages: facts, paths and pictures."""

from __future__ import annotations

import base64
import math
from typing import Any

from dagster import MetadataValue

from pipeline.orchestration.steps.step import Done

MAX_PICTURE_BYTES = 2**20
"""Maximum size of an embedded picture, because Dagster keeps metadata in its database."""


def metadata_of(done: Done) -> dict[str, Any]:
    """Return the metadata of a step's result, by label."""
    shown: dict[str, Any] = {
        # Convert infinity and NaN to text: Dagster's JSON has no numbers for them.
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in done.facts.items()
    }
    shown["found done"] = not done.new
    for name, path in done.files.items():
        shown[name] = MetadataValue.path(str(path))
    for picture in done.pictures:
        if picture.exists():
            shown[picture.stem] = (
                MetadataValue.md(_markdown_image(picture.read_bytes()))
                if picture.stat().st_size <= MAX_PICTURE_BYTES
                else MetadataValue.path(str(picture))
            )
    return shown


def _markdown_image(png: bytes) -> str:
    return f"![](data:image/png;base64,{base64.b64encode(png).decode()})"
