"""Sheets of images as PNG files."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from savedmodels import atomic

SMALLEST_TILE = 32
GAP = 2
GAP_VALUE = 64


def tile(images: Any, *, columns: int | None = None, size: int | None = None) -> Any:
    """Lay images out in rows, a gap between them: `(count, h, w, channels)` uint8 → one image.

    Args:
        images: At least one.
        columns: Images per row; near a square when None.
        size: Side of a tile in pixels, a multiple of the image's, enlarged by repeating pixels;
            None enlarges small images to about 32.

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
    """Write `(height, width, 1 or 3)` uint8 pixels as PNG, whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    pixels = np.asarray(image)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_file(path, buffer.getvalue())
