"""Identity of a prepared set: its source, settings and shapes, and their hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.config import DataConfig
from pipeline.config.data import DECIDING_RECORDS
from pipeline.data.records import FORMAT_VERSION
from pipeline.data.sources import Source
from pipeline.errors import UserError
from pipeline.shape import (
    SHAPE_RULE,
    Shape,
    is_power_of_two,
    is_usable,
    level_shapes,
    shape_text,
    start_shape,
)


@dataclass(frozen=True)
class Preparation:
    """Pictures to prepare, and the way; `shapes` of their images are ascending."""

    source: Source
    data: DataConfig
    shapes: tuple[Shape, ...]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the content of the records."""
        height, width = self.shapes[-1]
        return {
            "format_version": FORMAT_VERSION,
            "source_hash": source_hash(self.source),
            "resolutions": tuple(side for side, _ in self.shapes),
            # Sets of squares are older than this key, and keep their names without it.
            **({} if height == width else {"width": width}),
            **self.data.model_dump(mode="json", include=set(DECIDING_RECORDS)),
        }

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 of the identity, in hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    @property
    def folder_name(self) -> str:
        """Name of the set's folder in `data.records`: `<source>-<largest>px-<hash>`."""
        readable = re.sub(r"[^A-Za-z0-9_-]+", "-", self.source.name).strip("-")[:40]
        return f"{readable}-{shape_text(self.shapes[-1])}px-{self.data_hash[:12]}"


def shapes_of(resolutions: Sequence[int], width: int | None) -> tuple[Shape, ...]:
    """Return the shapes of a prepared set, ascending.

    Args:
        resolutions: Sides in pixels, powers of two from 4 to 1024, in any order; or a single one of
            any shape that networks can make.
        width: Width in pixels of images that are not square, whose height is the one resolution.

    Raises:
        ValueError: if no images can have these sides.
    """
    shapes = tuple((side, width or side) for side in sorted(set(resolutions)))
    growing = width is None and all(is_power_of_two(side) for side, _ in shapes)
    if not shapes or not (growing or (len(shapes) == 1 and is_usable(shapes[0]))):
        raise ValueError(
            "`resolutions` must be powers of two from 4 to 1024, or a single one that networks can "
            f"make. Received: {list(resolutions)} and width={width}"
        )
    return shapes


def resolutions_to(largest: int, width: int | None = None) -> tuple[int, ...]:
    """List every resolution from 4 to the largest, or only this one if images cannot grow to it.

    Raises:
        UserError: if no images can have these sides.
    """
    shape = (largest, width or largest)
    if not is_usable(shape):
        raise UserError(
            f"the images of a prepared set: {SHAPE_RULE}. Received: {shape[0]} and {shape[1]}"
        )
    if shape[0] != shape[1] or not is_power_of_two(largest):
        return (largest,)
    return tuple(height for height, _ in level_shapes(start_shape(shape), largest))


def source_hash(source: Source) -> str:
    """Return the SHA-256, in hex, of a source's classes and each picture's label and stored bytes.

    Nothing is decoded, and names do not count.
    """
    digest = hashlib.sha256(json.dumps(source.classes).encode())
    for picture in source:
        try:
            content = hashlib.sha256(picture.content()).hexdigest()
        # A mark instead: such a picture is skipped or refused when it is converted.
        except OSError:
            content = "unreadable"
        digest.update(f"\n{picture.label} {content}".encode())
    return digest.hexdigest()
