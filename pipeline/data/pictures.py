"""From a picture of any size and kind to a square array of bytes, and to smaller squares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import PIL.Image

from pipeline.config import DataConfig
from pipeline.data.formats import upright_eight_bit

Square = npt.NDArray[np.uint8]

_PILLOW = {"lanczos": PIL.Image.Resampling.LANCZOS, "box": PIL.Image.Resampling.BOX}


def to_square(picture: PIL.Image.Image, data: DataConfig, resolution: int) -> Square:
    """A picture as a square of grey or RGB bytes, cropped and resized as `data` says.

    How modes become grey or RGB is said in `pipeline.data.formats`. An odd pixel goes to the right
    and the bottom.

    Args:
        picture: Picture of any size.
        data: Its `channels`, `crop` and `filter` count.
        resolution: Side of the result in pixels.

    Returns:
        (resolution, resolution, channels).

    Raises:
        ValueError: if its pixels have no stated range, or `crop` is none and it has another size.
    """
    plain = upright_eight_bit(picture, data.channels)
    width, height = plain.size
    target = (resolution, resolution)
    if data.crop == "none" and plain.size != target:
        raise ValueError(
            f"without cropping a picture must have {resolution}x{resolution} pixels, "
            f"not {width}x{height}"
        )
    if data.crop == "center":
        side = min(plain.size)
        left, top = (width - side) // 2, (height - side) // 2
        plain = plain.crop((left, top, left + side, top + side))
    if data.crop == "pad":
        pixels = _padded(plain, resolution, data.filter)
    else:
        pixels = resized(plain, target, data.filter)
    return pixels.reshape(resolution, resolution, data.channels)


def resized(picture: PIL.Image.Image, size: tuple[int, int], filter: str) -> npt.NDArray[np.uint8]:
    """A grey or RGB picture in another size.

    `lanczos` and `box` are Pillow's filters: `box` is the mean of the pixels whose centres lie in
    a new pixel. `area` weighs every pixel by the share of it that lies there, so none counts more
    than another.

    Args:
        picture: Picture of mode L or RGB.
        size: Width and height in pixels.
        filter: `lanczos`, `box` or `area`.

    Returns:
        (height, width) or (height, width, 3).
    """
    if picture.size == size:
        return np.asarray(picture, np.uint8)
    if filter in _PILLOW:
        return np.asarray(picture.resize(size, _PILLOW[filter]), np.uint8)
    rows, columns = _coverage(picture.height, size[1]), _coverage(picture.width, size[0])
    means = np.einsum("Yy,yx...,Xx->YX...", rows, np.asarray(picture), columns, optimize=True)
    rounded: npt.NDArray[np.uint8] = np.rint(means).astype(np.uint8)
    return rounded


def reduced(square: Square, resolution: int) -> Square:
    """A smaller square: the mean of each block of pixels, rounded to the nearest, halves to even.

    This is what halving by a 2x2 box as often as needed gives when only the end is rounded, as the
    official ProGAN tool does.

    Args:
        square: (side, side, channels).
        resolution: Side of the result in pixels; divides `side`.

    Returns:
        (resolution, resolution, channels).
    """
    factor = square.shape[0] // resolution
    blocks = square.reshape(resolution, factor, resolution, factor, -1)
    # The sum is whole and the area a power of two: nothing is rounded before `rint`.
    means: Square = np.rint(blocks.sum(axis=(1, 3)) / factor**2).astype(np.uint8)
    return means


def _coverage(before: int, after: int) -> npt.NDArray[np.float64]:
    """`(after, before)`: the share of each new pixel that each old one covers; rows sum to 1."""
    edges = np.linspace(0.0, before, after + 1)
    old = np.arange(before)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    covered: npt.NDArray[np.float64] = np.maximum(overlap, 0.0) * (after / before)
    return covered


def _padded(picture: PIL.Image.Image, resolution: int, filter: str) -> npt.NDArray[np.uint8]:
    longest = max(picture.size)
    width, height = picture.size
    if longest > resolution:
        width, height = (max(1, round(side * resolution / longest)) for side in picture.size)
    pixels = resized(picture, (width, height), filter)
    canvas = np.zeros((resolution, resolution, *pixels.shape[2:]), np.uint8)
    top, left = (resolution - height) // 2, (resolution - width) // 2
    canvas[top : top + height, left : left + width] = pixels
    return canvas
