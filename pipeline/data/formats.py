"""Convert a picture of any file format and pixel mode to upright 8-bit grey or RGB.

Every command that reads pictures uses this, so that all of them see the same pixels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import PIL.ExifTags
import PIL.Image
from PIL.Image import Transpose

SIXTEEN_BIT_TO_EIGHT = 257  # Divisor from 16-bit to 8-bit values: 65535 / 255.
_PHOTOMETRIC = 262  # TIFF tag `PhotometricInterpretation`: the meaning of pixel values.
_WHITE_IS_ZERO = 0  # Value of that tag if 0 is white.
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""Rotation or reflection that undoes each value of EXIF's orientation tag; 1 is upright."""


def upright_eight_bit(picture: PIL.Image.Image, channels: Literal[1, 3]) -> PIL.Image.Image:
    """Convert a picture to 8-bit grey or RGB, upright.

    - Frames: the first frame of an animation, or the first page, is used.
    - Colour profiles are ignored.
    - Orientation: the EXIF tag is applied; damaged EXIF counts as none.
    - Depth: integers beyond 8 bits count as 16-bit grey: they are divided by 257 and rounded half
      up, and inverted if a TIFF declares that 0 is white. Of 16-bit colour, and of 16-bit grey with
      alpha, Pillow decodes only the high byte.
    - Modes: palette indices become colours, and 1-bit pixels 0 and 255. CMYK becomes
      `R = (255 - C) (255 - K) / 255`, and G and B likewise from M and Y; the inverted values that
      JPEG stores are inverted back. YCbCr and HSV become RGB.
    - Transparency: pixels are blended with white by their alpha. The one transparent colour that a
      PNG may declare counts at 1 and 8 bits; Pillow ignores it at other depths.
    - Channels: grey becomes RGB by repetition, and RGB grey by Rec. 601 luma,
      0.299 R + 0.587 G + 0.114 B.

    Raises:
        ValueError: if pixels are floating-point or CIELAB, or integers outside 0 to 65535.

    Example:
        >>> upright_eight_bit(PIL.Image.new("RGBA", (2, 1), (9, 9, 9, 0)), 1).getpixel((0, 0))
        255
    """
    picture.load()  # Damaged pixels raise here: `_turn_upright` must ignore only damaged EXIF.
    pixels = _to_eight_bit_grey(picture) if picture.mode.startswith("I") else picture
    # Pass the original too, for its EXIF: a picture made from an array has none.
    upright = _turn_upright(pixels, picture)
    return _blend_with_white(upright).convert("L" if channels == 1 else "RGB")


def eight_bit(values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Convert 16-bit values to 8-bit: divide by 257 and round half up.

    Raises:
        ValueError: if values lie outside 0 to 65535.
    """
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ValueError("integer pixels must lie within 16 bits")
    wide = values.astype(np.uint32)
    return ((wide + SIXTEEN_BIT_TO_EIGHT // 2) // SIXTEEN_BIT_TO_EIGHT).astype(np.uint8)


def _to_eight_bit_grey(picture: PIL.Image.Image) -> PIL.Image.Image:
    values = np.asarray(picture)
    # Invert here what Pillow inverts only for 8-bit pixels.
    if getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = np.iinfo(np.uint16).max - values
    return PIL.Image.fromarray(eight_bit(values))


def _turn_upright(pixels: PIL.Image.Image, original: PIL.Image.Image) -> PIL.Image.Image:
    try:
        turn = _TURNS.get(original.getexif().get(PIL.ExifTags.Base.Orientation, 1))
    # Pillow raises SyntaxError, ValueError, struct.error and more for damaged EXIF.
    except Exception:
        turn = None
    return pixels if turn is None else pixels.transpose(turn)


def _blend_with_white(picture: PIL.Image.Image) -> PIL.Image.Image:
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no stated range")
    if picture.mode in ("LAB", "La"):
        raise ValueError(f"pixels of mode {picture.mode} have no stated conversion")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", layer.size, "white")
        return PIL.Image.alpha_composite(white, layer)
    return picture
