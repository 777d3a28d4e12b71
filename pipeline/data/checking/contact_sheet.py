"""A sheet of pictures chosen at random, and of some of each class, to be looked at."""

from __future__ import annotations

import heapq
import warnings
from collections import defaultdict
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import PIL.Image

from pipeline.data.formats import upright_eight_bit
from pipeline.data.grids import GAP, GAP_VALUE, tile
from pipeline.data.sources import Picture, Source

AT_RANDOM = 64
COLUMNS = 16
MOST_CLASSES = 12
"""Classes that get a row: more make a sheet that no screen shows whole."""
LARGEST_TILE = 96
"""Side in pixels that larger pictures are reduced to."""
BAND = 6 * GAP
"""Height in pixels of what parts the rows of classes from those at random."""

READERS = 4
"""Pictures read at a time: each may take hundreds of megabytes."""

Sheet = npt.NDArray[np.uint8]
Row = list[Picture | None]
Ticket = tuple[float, int, Picture]
"""A draw, and the number of the picture, which decides between equal draws."""


def shown_classes(source: Source) -> tuple[str, ...]:
    """The classes that have a row on the sheet, from the top."""
    return source.classes[:MOST_CLASSES]


def contact_sheet(source: Source, unreadable: Container[str] = (), *, seed: int = 0) -> Sheet:
    """64 pictures at random and, below a band, a row of 16 of each of the first 12 classes.

    Pictures are shown whole, the right way up, reduced by Lanczos or enlarged by whole pixels.

    Args:
        source: Source with at least one readable picture.
        unreadable: Names of pictures to leave out.
        seed: Seed of the choice.

    Returns:
        (height, width, 3).

    Raises:
        OSError: if a picture can no longer be read.
    """
    chosen, examples = _choice(source, unreadable, seed)
    columns = min(COLUMNS, len(chosen))
    blank: Row = [None] * columns
    of_classes = [picture for row in examples for picture in (row + blank)[:columns]]
    blocks = [chosen, of_classes] if of_classes else [chosen]
    with warnings.catch_warnings(), ThreadPoolExecutor(READERS) as pool:
        warnings.simplefilter("ignore")  # Pillow warns of metadata that does not matter here
        thumbnails = [list(pool.map(_thumbnail, block)) for block in blocks]
    side = _side([max(image.size) for image in thumbnails[0] if image is not None])
    first, *others = (
        tile(np.stack([_tile(image, side) for image in block]), columns=columns, size=side)
        for block in thumbnails
    )
    band = np.full((BAND, first.shape[1], 3), GAP_VALUE, np.uint8)
    sheet: Sheet = np.concatenate([first, *(part for other in others for part in (band, other))])
    return sheet


def _choice(source: Source, unreadable: Container[str], seed: int) -> tuple[Row, list[Row]]:
    """The pictures at random, and those of each shown class; nothing is read."""
    draw = np.random.default_rng(seed)
    chosen: list[Ticket] = []
    examples: dict[int | None, list[Ticket]] = defaultdict(list)
    for number, picture in enumerate(source):
        # The largest of independent draws are a fair choice, whatever number is still to come.
        one, other = draw.random(2).tolist()
        if picture.name not in unreadable:
            _keep(chosen, (one, number, picture), AT_RANDOM)
            _keep(examples[picture.label], (other, number, picture), COLUMNS)
    labels = range(len(shown_classes(source)))
    return _drawn(chosen), [_drawn(examples[label]) for label in labels]


def _keep(heap: list[Ticket], ticket: Ticket, most: int) -> None:
    if len(heap) < most:
        heapq.heappush(heap, ticket)
    elif ticket[0] > heap[0][0]:
        heapq.heapreplace(heap, ticket)


def _drawn(heap: list[Ticket]) -> Row:
    return [picture for _, _, picture in sorted(heap, reverse=True)]


def _thumbnail(picture: Picture | None) -> PIL.Image.Image | None:
    if picture is None:
        return None
    image = upright_eight_bit(picture.read(), 3)
    image.thumbnail((LARGEST_TILE, LARGEST_TILE), PIL.Image.Resampling.LANCZOS)
    return image


def _side(longest: list[int]) -> int:
    """The side of a tile: of small pictures a multiple, so that they fill it."""
    largest = max(longest)
    return largest * max(1, LARGEST_TILE // largest)


def _tile(image: PIL.Image.Image | None, side: int) -> Sheet:
    canvas = PIL.Image.new("RGB", (side, side), (GAP_VALUE,) * 3)
    if image is not None:
        factor = side // max(image.size)
        size = (image.width * factor, image.height * factor)
        enlarged = image.resize(size, PIL.Image.Resampling.NEAREST)
        canvas.paste(enlarged, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(canvas)
