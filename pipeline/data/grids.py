"""Lay images out on one sheet, as for sample sheets and contact sheets, and write it as PNG."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from savedmodels import atomic

SMALLEST_TILE = 32  # Height in pixels up to which smaller images are enlarged.
GAP = 2  # Space between images, in pixels.
GAP_VALUE = 64  # Level of the gaps in each channel: dark grey.


def tile(images: Any, *, columns: int | None = None, size: int | None = None) -> Any:
    """Lay images out in rows on one sheet, with gaps between them.

    Small images are enlarged by repeating pixels.

    Args:
        images: Pixels, uint8 (count, height, width, channels); at least one image.
        columns: Images per row; None for about as many columns as rows.
        size: Height of an image on the sheet in pixels, a multiple of its own height; None enlarges
            smaller images to at most 32.

    Returns:
        Sheet, uint8 (height, width, channels).

    Raises:
        ValueError: if there is no image.
    """
    images = np.asarray(images)
    count, height, width, channels = images.shape
    if not count:
        raise ValueError("a sheet needs at least one image. Received: none")
    factor = (size or max(SMALLEST_TILE, height)) // height
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    height, width = images.shape[1:3]
    step_y, step_x = height + GAP, width + GAP
    sheet = np.full((rows * step_y - GAP, columns * step_x - GAP, channels), GAP_VALUE, np.uint8)
    for index, image in enumerate(images):
        y, x = index // columns * step_y, index % columns * step_x
        sheet[y : y + height, x : x + width] = image
    return sheet


def write_png(path: Path, image: Any) -> None:
    """Write uint8 pixels (height, width, 1 or 3) as PNG; the file appears complete or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    pixels = np.asarray(image)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_file(path, buffer.getvalue())
