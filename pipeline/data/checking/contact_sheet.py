"""Contact sheet of `growgan data check`: random pictures of a source, and some of each class."""

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

RANDOM_PICTURES = 64
COLUMNS = 16  # Number of pictures per row, and maximum number per class.
MAX_CLASSES = 12  # Maximum number of classes with a row; more would fit no screen.
LARGEST_TILE = 96  # Longest side of a picture on the sheet, in pixels; larger ones are reduced.
BAND = 6 * GAP  # Height in pixels of the band between the random pictures and the rows of classes.

READERS = 4  # Threads that read pictures; few, because a picture may take hundreds of megabytes.

Sheet = npt.NDArray[np.uint8]
Tiles = list[Picture | None]  # Pictures in the order of their tiles; None leaves a tile empty.
Keyed = tuple[float, int, Picture]
"""Random key, index of the picture, which decides between equal keys, and the picture."""


def shown_classes(source: Source) -> tuple[str, ...]:
    """Return the classes that have a row on the sheet, from top to bottom."""
    return source.classes[:MAX_CLASSES]


def contact_sheet(source: Source, unreadable: Container[str] = (), *, seed: int = 0) -> Sheet:
    """Show up to 64 random pictures and, below a band, a row of 16 of each of the first 12 classes.

    Pictures are not cropped, and are turned upright by their EXIF orientation. Large ones are
    reduced by Lanczos, small ones enlarged by a whole-number factor. `unreadable` has the names of
    pictures to leave out; at least one picture must remain.

    Raises:
        OSError: if a picture can no longer be read.
    """
    chosen, examples = _choose(source, unreadable, seed)
    # Make the sheet narrower for few pictures, without empty tiles beside them.
    columns = min(COLUMNS, len(chosen))
    # Fill short rows with empty tiles, so that each class begins a new row.
    blank: Tiles = [None] * columns
    of_classes = [picture for row in examples for picture in (row + blank)[:columns]]
    blocks = [chosen, of_classes] if of_classes else [chosen]
    with warnings.catch_warnings(), ThreadPoolExecutor(READERS) as pool:
        warnings.simplefilter("ignore")  # Pillow warns about metadata that does not matter here
        thumbnails = [list(pool.map(_thumbnail, block)) for block in blocks]
    side = _tile_side(
        [max(each.size) for block in thumbnails for each in block if each is not None]
    )
    first, *others = (
        tile(np.stack([_draw_tile(image, side) for image in block]), columns=columns, size=side)
        for block in thumbnails
    )
    band = np.full((BAND, first.shape[1], 3), GAP_VALUE, np.uint8)
    sheet: Sheet = np.concatenate([first, *(part for other in others for part in (band, other))])
    return sheet


def _choose(source: Source, unreadable: Container[str], seed: int) -> tuple[Tiles, list[Tiles]]:
    """Choose the random pictures and those of each shown class, without reading them."""
    draw = np.random.default_rng(seed)
    chosen: list[Keyed] = []
    examples: dict[int | None, list[Keyed]] = defaultdict(list)
    for number, picture in enumerate(source):
        # Reservoir sampling: the pictures with the largest random keys, in one pass, uncounted.
        key, class_key = draw.random(2).tolist()
        # Unreadable pictures use up random keys too, so that they do not change the keys of others.
        if picture.name not in unreadable:
            _keep_largest(chosen, (key, number, picture), RANDOM_PICTURES)
            _keep_largest(examples[picture.label], (class_key, number, picture), COLUMNS)
    labels = range(len(shown_classes(source)))
    return _pictures_of(chosen), [_pictures_of(examples[label]) for label in labels]


def _keep_largest(heap: list[Keyed], entry: Keyed, size: int) -> None:
    if len(heap) < size:
        heapq.heappush(heap, entry)
    elif entry[0] > heap[0][0]:
        heapq.heapreplace(heap, entry)


def _pictures_of(heap: list[Keyed]) -> Tiles:
    return [picture for _, _, picture in sorted(heap, reverse=True)]


def _thumbnail(picture: Picture | None) -> PIL.Image.Image | None:
    if picture is None:
        return None
    image = upright_eight_bit(picture.read(), 3)
    image.thumbnail((LARGEST_TILE, LARGEST_TILE), PIL.Image.Resampling.LANCZOS)
    return image


def _tile_side(longest: list[int]) -> int:
    largest = max(longest)
    # Use a multiple of the longest side, so that enlarging by a whole number fills the tile.
    return largest * max(1, LARGEST_TILE // largest)


def _draw_tile(image: PIL.Image.Image | None, side: int) -> Sheet:
    canvas = PIL.Image.new("RGB", (side, side), (GAP_VALUE,) * 3)
    if image is not None:
        factor = side // max(image.size)
        size = (image.width * factor, image.height * factor)
        enlarged = image.resize(size, PIL.Image.Resampling.NEAREST)
        canvas.paste(enlarged, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(canvas)
