"""Identity of a prepared set: hash of its source, settings and sizes, which names its folder."""

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
    """Plan of a prepared set: which pictures to convert, with which settings, to which sizes."""

    source: Source
    data: DataConfig
    shapes: tuple[Shape, ...]  # Sizes of the images, ascending.

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the content of the records."""
        height, width = self.shapes[-1]
        return {
            "format_version": FORMAT_VERSION,
            "source_hash": source_hash(self.source),
            "resolutions": tuple(side for side, _ in self.shapes),
            # Leave the width out for squares: sets from before this key existed keep their hash.
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
        resolutions: Sides of squares in pixels: powers of two from 4 to 1024, in any order. A
            single resolution may be any side, or height, that networks can make.
        width: Width in pixels of images that are not square; the single resolution is the height.

    Raises:
        ValueError: if networks cannot make images of these sizes.
    """
    shapes = tuple((side, width or side) for side in sorted(set(resolutions)))
    can_grow = width is None and all(is_power_of_two(side) for side, _ in shapes)
    if not shapes or not (can_grow or (len(shapes) == 1 and is_usable(shapes[0]))):
        raise ValueError(
            "`resolutions` must be powers of two from 4 to 1024, or a single one that networks can "
            f"make. Received: {list(resolutions)} and width={width}"
        )
    return shapes


def resolutions_to(largest: int, width: int | None = None) -> tuple[int, ...]:
    """List the powers of two from 4 to `largest`, or only `largest` if images cannot grow to it.

    Images grow to squares with a power of two only.

    Raises:
        UserError: if networks cannot make images of this size.
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

    Pictures are not decoded, and their names do not count.
    """
    digest = hashlib.sha256(json.dumps(source.classes).encode())
    for picture in source:
        try:
            content = hashlib.sha256(picture.content()).hexdigest()
        except OSError:
            content = "unreadable"  # Conversion skips the picture, or fails with its name.
        digest.update(f"\n{picture.label} {content}".encode())
    return digest.hexdigest()
