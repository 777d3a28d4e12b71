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


def tile(images: Any, *, columns: int | None = None, size: int | None = None) -> Any:
    """Lay images out in rows: `(count, h, w, channels)` uint8 → `(height, width, channels)`.

    Args:
        images: At least one.
        columns: Images per row; near a square when None. A last row is filled up with black.
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
    blank = np.zeros((rows * columns - count, *images.shape[1:]), images.dtype)
    sheet = np.concatenate([images, blank]).reshape(rows, columns, *images.shape[1:])
    return sheet.swapaxes(1, 2).reshape(rows * height * factor, columns * width * factor, channels)


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
