"""Convert pictures to encoded images of every size, in one or more processes.

It does not import TensorFlow, so that a worker process starts in a fraction of a second.
"""

from __future__ import annotations

import io
import os
import time
import uuid
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import NamedTuple

import PIL.Image

from pipeline.config import DataConfig
from pipeline.data.pictures import Pixels, reduced, to_pixels
from pipeline.data.sources import Picture, Source
from pipeline.data.sources.reason import reason_of
from pipeline.data.workers import opened, shared, worth_sharing
from pipeline.shape import Shape

UNLABELLED = -1
CHUNK = 32
"""Pictures per task of a worker."""
PNG_LEVEL = 3
"""PNG compression; on 256 px photographs 2.2 times as fast as Pillow's 6, and 2 % larger."""
JPEG_QUALITY = 95


class Skipped(NamedTuple):
    """Picture that was left out, and the reason."""

    name: str
    reason: str


class Converted(NamedTuple):
    """Class of a picture and its encoded images, from the largest size to the smallest.

    `images` has one entry, and a second if there is a mirrored copy.
    """

    label: int
    images: tuple[tuple[bytes, ...], ...]


Result = Converted | Skipped


def convert(
    picture: Picture, data: DataConfig, shapes: Sequence[Shape], *, mirrored: bool
) -> Result:
    """Convert a picture for records, or return the reason why it cannot be read.

    Args:
        picture: Picture of any size and format.
        data: Settings for cropping, resizing and encoding.
        shapes: Heights and widths of the images, ascending.
        mirrored: Whether to add a mirrored copy.
    """
    try:
        largest = to_pixels(picture.read(), data, shapes[-1])
    # Pillow's decoders raise a dozen kinds of errors on damaged files, even `SyntaxError`.
    except Exception as error:
        return Skipped(picture.name, reason_of(error))
    copies = (largest, largest[:, ::-1]) if mirrored else (largest,)
    return Converted(
        UNLABELLED if picture.label is None else picture.label,
        tuple(
            tuple(_encoded(reduced(copy, shape), data.format) for shape in reversed(shapes))
            for copy in copies
        ),
    )


def conversions(
    source: Source, data: DataConfig, shapes: Sequence[Shape], wanted: Sequence[tuple[int, bool]]
) -> Generator[Result]:
    """Convert pictures of a source, in the given order.

    Worker processes are started once the rest is expected to take long.

    Args:
        source: Source that `data.source` names; worker processes open it again.
        data: Settings of the conversion and of its workers.
        shapes: Heights and widths of the images, ascending.
        wanted: Number of each picture in the source, and whether to add a mirrored copy.

    Raises:
        UserError: if a worker was killed.
    """
    workers = data.workers or os.cpu_count() or 1
    seconds = 0.0
    for start in range(0, len(wanted), CHUNK):
        if workers > 1 and worth_sharing(seconds, start, len(wanted)):
            yield from _shared_conversions(data, shapes, wanted[start:], workers)
            return
        # Measured to decide whether starting worker processes pays.
        begun = time.monotonic()
        results = _conversions_here(source, data, shapes, wanted[start : start + CHUNK])
        seconds += time.monotonic() - begun
        yield from results


def _conversions_here(
    source: Source, data: DataConfig, shapes: Sequence[Shape], wanted: Sequence[tuple[int, bool]]
) -> list[Result]:
    return [convert(source[index], data, shapes, mirrored=mirrored) for index, mirrored in wanted]


def _shared_conversions(
    data: DataConfig, shapes: Sequence[Shape], wanted: Sequence[tuple[int, bool]], workers: int
) -> Generator[Result]:
    once = uuid.uuid4().hex
    calls = (
        (once, data, tuple(shapes), wanted[start : start + CHUNK])
        for start in range(0, len(wanted), CHUNK)
    )
    with closing(shared(_convert_chunk, calls, workers)) as chunks:
        for results in chunks:
            yield from results


def _convert_chunk(
    once: str, data: DataConfig, shapes: Sequence[Shape], wanted: Sequence[tuple[int, bool]]
) -> list[Result]:
    assert data.source is not None
    return _conversions_here(opened(once, data.source), data, shapes, wanted)


def _encoded(pixels: Pixels, format: str) -> bytes:
    if format == "raw":
        return pixels.tobytes()
    buffer = io.BytesIO()
    # Pillow reads grey only without an axis of channels.
    image = PIL.Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if format == "jpeg":
        # No chroma subsampling, which would halve the colour resolution of a 4 px image.
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    else:
        image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()
