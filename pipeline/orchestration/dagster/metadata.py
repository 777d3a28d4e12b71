"""Metadata of a step for Dagster's pages: facts, files and pictures."""

from __future__ import annotations

import base64
import math
from typing import Any

from dagster import MetadataValue

from pipeline.orchestration.steps.step import Done

LARGEST_PICTURE = 2**20
"""Bytes of a picture that is embedded: Dagster holds metadata in its database."""


def metadata_of(done: Done) -> dict[str, Any]:
    """Return the metadata of a step for Dagster's pages."""
    shown: dict[str, Any] = {
        # Dagster's JSON has no number for infinity or NaN.
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in done.facts.items()
    }
    shown["found done"] = not done.new
    for name, path in done.files.items():
        shown[name] = MetadataValue.path(str(path))
    for picture in done.pictures:
        if picture.exists():
            shown[picture.stem] = (
                MetadataValue.md(_embedded(picture.read_bytes()))
                if picture.stat().st_size <= LARGEST_PICTURE
                else MetadataValue.path(str(picture))
            )
    return shown


def _embedded(png: bytes) -> str:
    return f"![](data:image/png;base64,{base64.b64encode(png).decode()})"
