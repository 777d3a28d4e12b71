"""Convert a picture of any mode and format to upright 8-bit grey or RGB."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import PIL.ExifTags
import PIL.Image
from PIL.Image import Transpose

SIXTEEN_BIT_TO_EIGHT = 257
"""Divisor from 16-bit to 8-bit values: 65535 / 255."""
_PHOTOMETRIC = 262
"""TIFF tag that says whether 0 is white or black."""
_WHITE_IS_ZERO = 0
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""Rotation or reflection for each value of EXIF's orientation."""


def upright_eight_bit(picture: PIL.Image.Image, channels: Literal[1, 3]) -> PIL.Image.Image:
    """Convert a picture to 8-bit grey or RGB, upright.

    In this order:

    1. The first frame of an animation, or the first page, is used; colour profiles are ignored.
    2. The orientation in EXIF is applied; damaged EXIF counts as none.
    3. Integers beyond 8 bits count as 16-bit grey, divided by 257 and rounded half up, and inverted
       if a TIFF says that 0 is white. For 16-bit colour, and 16-bit grey with alpha, Pillow decodes
       only the high byte.
    4. Palettes are replaced by their colours, 1-bit pixels by 0 and 255. CMYK becomes
       `R = (255 - C) (255 - K) / 255` and so on, for any ink in a profile; the inverted values
       of JPEG are inverted back. YCbCr and HSV become their RGB.
    5. Transparent pixels are blended with white in proportion to their alpha. If a PNG declares one
       colour transparent, this works at 1 and 8 bits; Pillow ignores it at other depths.
    6. Grey becomes RGB by repetition, RGB grey by Rec. 601 luma, 0.299 R + 0.587 G + 0.114 B.

    Raises:
        ValueError: if pixels are floating-point or CIELAB, or integers beyond 16 bits.

    Example:
        >>> upright_eight_bit(PIL.Image.new("RGBA", (2, 1), (9, 9, 9, 0)), 1).getpixel((0, 0))
        255
    """
    picture.load()  # Damaged pixels raise here, so that below only EXIF can be damaged.
    grey = _grey_of_sixteen_bits(picture) if picture.mode.startswith("I") else picture
    # EXIF is read from the original: a picture made from an array has none.
    return _opaque(_upright(grey, picture)).convert("L" if channels == 1 else "RGB")


def eight_bit(values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Convert 16-bit values to 8-bit: divide by 257 and round half up.

    Raises:
        ValueError: if values lie outside 0 to 65535.
    """
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ValueError("integer pixels must lie within 16 bits")
    wide = values.astype(np.uint32)
    return ((wide + SIXTEEN_BIT_TO_EIGHT // 2) // SIXTEEN_BIT_TO_EIGHT).astype(np.uint8)


def _grey_of_sixteen_bits(picture: PIL.Image.Image) -> PIL.Image.Image:
    values = np.asarray(picture)
    # Pillow inverts only 8-bit pixels itself.
    if getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = np.iinfo(np.uint16).max - values
    return PIL.Image.fromarray(eight_bit(values))


def _upright(pixels: PIL.Image.Image, picture: PIL.Image.Image) -> PIL.Image.Image:
    try:
        turn = _TURNS.get(picture.getexif().get(PIL.ExifTags.Base.Orientation, 1))
    # Pillow raises SyntaxError, ValueError, struct.error and more for damaged EXIF.
    except Exception:
        turn = None
    return pixels if turn is None else pixels.transpose(turn)


def _opaque(picture: PIL.Image.Image) -> PIL.Image.Image:
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no stated range")
    if picture.mode in ("LAB", "La"):
        raise ValueError(f"pixels of mode {picture.mode} have no stated conversion")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", layer.size, "white")
        return PIL.Image.alpha_composite(white, layer)
    return picture
