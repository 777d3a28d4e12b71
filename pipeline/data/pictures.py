"""From a picture of any size and kind to a square array of bytes, and to smaller squares."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps

Square = npt.NDArray[np.uint8]

SIXTEEN_BIT_TO_EIGHT = 257
"""65535 / 255."""


def to_square(
    picture: PIL.Image.Image,
    *,
    resolution: int,
    channels: Literal[1, 3],
    fit: Literal["crop", "pad"],
) -> Square:
    """A picture as a square of grey or RGB bytes.

    Orientation in EXIF is applied. Transparent pixels are laid over white. Grey becomes RGB by
    repetition, RGB grey by Rec. 601 luma. 16-bit grey is divided by 257 and rounded half up; CMYK
    and YCbCr are converted by Pillow; colour profiles are ignored; of an animation the first frame
    is taken. Resizing is by Lanczos.

    Args:
        picture: Of any size and mode but the two below.
        resolution: Side of the result in pixels.
        channels: 1 for grey, 3 for RGB.
        fit: `crop` resizes the largest centred square, `pad` centres the whole on black, reducing
            what is too large and never enlarging. An odd pixel goes to the right and the bottom.

    Returns:
        (resolution, resolution, channels).

    Raises:
        ValueError: if pixels are floating-point, or integers beyond 16 bits.
    """
    upright = PIL.ImageOps.exif_transpose(picture)
    plain = _eight_bit(upright).convert("L" if channels == 1 else "RGB")
    square = _cropped(plain, resolution) if fit == "crop" else _padded(plain, resolution)
    return np.asarray(square, np.uint8).reshape(resolution, resolution, channels)


def reduced(square: Square, resolution: int) -> Square:
    """A smaller square: the mean of each block of pixels, rounded half up.

    This is what halving by a 2x2 box as often as needed gives when only the end is rounded.

    Args:
        square: (side, side, channels).
        resolution: Side of the result in pixels; divides `side`.

    Returns:
        (resolution, resolution, channels).
    """
    factor = square.shape[0] // resolution
    blocks = square.reshape(resolution, factor, resolution, factor, -1)
    total = blocks.sum(axis=(1, 3), dtype=np.uint32)
    area = factor * factor
    means: Square = ((total + area // 2) // area).astype(np.uint8)
    return means


def _eight_bit(picture: PIL.Image.Image) -> PIL.Image.Image:
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no stated range")
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise ValueError("integer pixels must lie within 16 bits")
        scaled = (values + SIXTEEN_BIT_TO_EIGHT // 2) // SIXTEEN_BIT_TO_EIGHT
        return PIL.Image.fromarray(scaled.astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", layer.size, "white")
        return PIL.Image.alpha_composite(white, layer)
    return picture


def _cropped(picture: PIL.Image.Image, resolution: int) -> PIL.Image.Image:
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((resolution, resolution), PIL.Image.Resampling.LANCZOS)


def _padded(picture: PIL.Image.Image, resolution: int) -> PIL.Image.Image:
    longest = max(picture.size)
    if longest > resolution:
        width, height = (max(1, round(side * resolution / longest)) for side in picture.size)
        picture = picture.resize((width, height), PIL.Image.Resampling.LANCZOS)
    canvas = PIL.Image.new(picture.mode, (resolution, resolution))
    canvas.paste(picture, ((resolution - picture.width) // 2, (resolution - picture.height) // 2))
    return canvas
