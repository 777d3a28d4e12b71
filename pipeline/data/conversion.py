"""Pictures converted to encoded images of every size, by as many processes as wanted.

Imports no TensorFlow, so that a worker process starts in a fraction of a second.
"""

from __future__ import annotations

import io
import os
import re
import threading
import time
import warnings
from collections.abc import Generator, Sequence
from functools import cache
from typing import NamedTuple

import joblib
import PIL.Image

from pipeline.config import DataConfig
from pipeline.data.pictures import Square, reduced, to_square
from pipeline.data.sources import Picture, Source, open_source

UNLABELLED = -1
CHUNK = 32
"""Pictures that a worker converts at a time."""
CHUNKS_AHEAD = 3
"""Chunks a worker, begun or waiting: enough to keep it busy."""
IDLE_SECONDS = 20
"""After which a worker without work ends."""
SMALL_SET = 512
"""Pictures up to which starting processes takes longer than it saves."""
PNG_LEVEL = 3
"""On 256 px photographs 2.2 times as fast as Pillow's default, 6, and 2 % larger."""
JPEG_QUALITY = 95


class Skipped(NamedTuple):
    """A picture that was left out, and why."""

    name: str
    reason: str


class Converted(NamedTuple):
    """A picture's class and its encoded images, from the largest size to the smallest.

    `images` has one entry, or a second for the mirrored copy.
    """

    label: int
    images: tuple[tuple[bytes, ...], ...]


Result = Converted | Skipped


def convert(picture: Picture, data: DataConfig, sizes: Sequence[int], *, mirrored: bool) -> Result:
    """A picture as records hold it, or why it cannot be read.

    Args:
        picture: Of any size and kind.
        data: How it becomes square and is encoded.
        sizes: Sides in pixels, ascending.
        mirrored: Whether a mirrored copy is wanted too.
    """
    try:
        largest = to_square(picture.read(), data, sizes[-1])
    # Pillow's decoders raise a dozen kinds of errors on damaged files, `SyntaxError` among them.
    except Exception as error:
        return Skipped(picture.name, reason_of(error))
    copies = (largest, largest[:, ::-1]) if mirrored else (largest,)
    return Converted(
        UNLABELLED if picture.label is None else picture.label,
        tuple(
            tuple(_encoded(reduced(copy, size), data.format) for size in reversed(sizes))
            for copy in copies
        ),
    )


def conversions(
    source: Source, data: DataConfig, sizes: Sequence[int], wanted: Sequence[tuple[int, bool]]
) -> Generator[Result]:
    """The results for some pictures of a source, in the order wanted.

    Args:
        source: What `data.source` names; worker processes open it anew.
        data: How pictures are converted, and by how many workers.
        sizes: Sides in pixels, ascending.
        wanted: Each picture's number in the source, and whether its mirrored copy is wanted.

    Raises:
        BrokenProcessPool: if a worker was killed.
    """
    workers = data.workers or os.cpu_count() or 1
    if workers == 1 or len(wanted) <= SMALL_SET:
        pictures = list(source)
        for index, mirrored in wanted:
            yield convert(pictures[index], data, sizes, mirrored=mirrored)
        return
    assert data.source is not None
    chunks = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
    # Loky's processes start afresh, as forking one in which TensorFlow runs threads may hang, but
    # do not run the main script again.
    with joblib.parallel_config("loky", n_jobs=workers, idle_worker_timeout=IDLE_SECONDS):
        pool = joblib.Parallel(
            return_as="generator", batch_size=1, pre_dispatch=CHUNKS_AHEAD * workers
        )
        tasks = (
            joblib.delayed(_convert_chunk)(data.source, data, tuple(sizes), chunk)
            for chunk in chunks
        )
        outputs = pool(tasks)
        try:
            for results in outputs:
                yield from results
        finally:
            with warnings.catch_warnings():
                # Of work that is given up: when a shard cannot be written, that is what is meant.
                warnings.simplefilter("ignore", UserWarning)
                outputs.close()


@cache
def opened(source: str) -> tuple[tuple[str, ...], list[Picture]]:
    """A source's classes and pictures, opened once in each worker process."""
    found = open_source(source)
    return found.classes, list(found)


def reason_of(error: Exception) -> str:
    """What an error says, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    first_line, *_ = text.strip().splitlines() or [type(error).__name__]
    # The memory address of the buffer a picture was read from helps nobody.
    return re.sub(r" <_io\.BytesIO object at 0x[0-9a-f]+>", "", first_line)


def _convert_chunk(
    source: str, data: DataConfig, sizes: Sequence[int], wanted: Sequence[tuple[int, bool]]
) -> list[Result]:
    _end_with_parent()
    _, pictures = opened(source)
    return [convert(pictures[index], data, sizes, mirrored=mirrored) for index, mirrored in wanted]


@cache
def _end_with_parent() -> None:
    """Let this worker end when its parent is killed; Loky would leave it waiting for ever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _encoded(square: Square, format: str) -> bytes:
    if format == "raw":
        return square.tobytes()
    buffer = io.BytesIO()
    # Pillow knows grey only without an axis of channels.
    image = PIL.Image.fromarray(square[:, :, 0] if square.shape[2] == 1 else square)
    if format == "jpeg":
        # Full colour resolution: a 4 px image has no pixels to spare.
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    else:
        image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()
