"""Convert pictures to encoded images at every training resolution, in one or more processes.

It does not import TensorFlow, so that a worker process starts in a fraction of a second.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image

from pipeline.config import DataConfig
from pipeline.data.formats import upright_eight_bit
from pipeline.data.sources import Picture, Source
from pipeline.data.sources.reason import reason_of
from pipeline.data.workers import map_in_chunks
from pipeline.shape import Shape

Pixels = npt.NDArray[np.uint8]

UNLABELLED = -1
CHUNK = 32  # Pictures per task of a worker.
PNG_LEVEL = 3
"""PNG compression; on 256 px photographs 2.2 times as fast as Pillow's 6, and 2 % larger."""
JPEG_QUALITY = 95
_PILLOW = {"lanczos": PIL.Image.Resampling.LANCZOS, "box": PIL.Image.Resampling.BOX}


class Skipped(NamedTuple):
    """Picture that was left out, and the reason."""

    name: str
    reason: str


class Converted(NamedTuple):
    """Label of a picture, or -1 without one, and its encoded images.

    `images[0]` has the picture at every resolution, the largest first; `images[1]`, if there is
    one, has the mirrored copy.
    """

    label: int
    images: tuple[tuple[bytes, ...], ...]


Result = Converted | Skipped


def convert(
    picture: Picture, data: DataConfig, shapes: Sequence[Shape], *, mirrored: bool
) -> Result:
    """Convert a picture to an encoded image per shape; return `Skipped` if that fails.

    `shapes` are ascending, and the images descending. `mirrored` adds a mirrored copy.
    """
    try:
        largest = to_pixels(picture.read(), data, shapes[-1])
    # Pillow's decoders raise a dozen kinds of errors on damaged files, even `SyntaxError`.
    except Exception as error:
        return Skipped(picture.name, reason_of(error))
    copies = (largest, largest[:, ::-1]) if mirrored else (largest,)
    return Converted(
        UNLABELLED if picture.label is None else picture.label,
        tuple(
            tuple(_encode(reduced(copy, shape), data.format) for shape in reversed(shapes))
            for copy in copies
        ),
    )


def conversions(
    source: Source, data: DataConfig, shapes: Sequence[Shape], wanted: Sequence[tuple[int, bool]]
) -> Generator[Result]:
    """Convert pictures of a source in the given order, in worker processes if much work is left.

    `wanted` has a pair per picture: its index in the source, and True to add a mirrored copy.

    Raises:
        UserError: if a worker process was killed, as when memory runs out.
    """
    work = partial(_convert_chunk, data, shapes)
    spec, workers = str(data.source), data.workers
    # Close the inner generator with this one, so that no worker outlives it.
    with closing(map_in_chunks(spec, source, work, wanted, size=CHUNK, workers=workers)) as chunks:
        for results in chunks:
            yield from results


def _convert_chunk(
    data: DataConfig, shapes: Sequence[Shape], source: Source, wanted: Sequence[tuple[int, bool]]
) -> list[Result]:
    return [convert(source[index], data, shapes, mirrored=mirrored) for index, mirrored in wanted]


def to_pixels(picture: PIL.Image.Image, data: DataConfig, shape: Shape) -> Pixels:
    """Convert a picture to uint8 `(height, width, channels)`, cropped and resized as `data` says.

    If the number of pixels to crop or pad is odd, the right or bottom edge gets the extra one.

    Raises:
        ValueError: if pixels have no fixed range, such as floats, or uncropped sizes differ.
    """
    plain = upright_eight_bit(picture, data.channels)
    width, height = plain.size
    target = (shape[1], shape[0])  # Pillow's sizes have the width first.
    if data.crop == "none" and plain.size != target:
        raise ValueError(
            f"with `data.crop=none` a picture must be {target[0]} px wide and {target[1]} px high. "
            f"Received: {width} px wide and {height} px high"
        )
    if data.crop == "center":
        plain = plain.crop(_centred_box(plain.size, target))
    if data.crop == "pad":
        pixels = _pad(plain, target, data.filter)
    else:
        pixels = resized(plain, target, data.filter)
    return pixels.reshape(*shape, data.channels)


def resized(picture: PIL.Image.Image, size: tuple[int, int], filter: str) -> npt.NDArray[np.uint8]:
    """Resize a grey or RGB picture to a width and height.

    `lanczos` and `box` are Pillow's filters: `box` averages the pixels whose centres lie in an
    output pixel. `area` weights each input pixel by the part of the output pixel that it covers.
    """
    if picture.size == size:
        return np.asarray(picture, np.uint8)
    if filter in _PILLOW:
        return np.asarray(picture.resize(size, _PILLOW[filter]), np.uint8)
    # Unlike Pillow's box, each input pixel counts equally in the whole image.
    rows, columns = _coverage(picture.height, size[1]), _coverage(picture.width, size[0])
    means = np.einsum("Yy,yx...,Xx->YX...", rows, np.asarray(picture), columns, optimize=True)
    rounded: npt.NDArray[np.uint8] = np.rint(means).astype(np.uint8)
    return rounded


def reduced(pixels: Pixels, shape: Shape) -> Pixels:
    """Reduce an image by the mean of each block of pixels, rounded with halves to even.

    `shape` must be the image's height and width, both divided by the same power of two.
    """
    # Equals the official ProGAN tool, which halves by 2x2 means and rounds once at the end.
    factor = pixels.shape[0] // shape[0]
    blocks = pixels.reshape(shape[0], factor, shape[1], factor, -1)
    # Exact before `rint`: the sum is an integer, and the area a power of two.
    means: Pixels = np.rint(blocks.sum(axis=(1, 3)) / factor**2).astype(np.uint8)
    return means


def _encode(pixels: Pixels, format: str) -> bytes:
    if format == "raw":
        return pixels.tobytes()
    buffer = io.BytesIO()
    # For grey, Pillow wants (height, width), without a channel axis.
    image = PIL.Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if format == "jpeg":
        # No chroma subsampling, which would halve the colour resolution of a 4 px image.
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    else:
        image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def _coverage(before: int, after: int) -> npt.NDArray[np.float64]:
    """Return the part of each output pixel that each input pixel covers, `(after, before)`."""
    edges = np.linspace(0.0, before, after + 1)
    old = np.arange(before)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    covered: npt.NDArray[np.float64] = np.maximum(overlap, 0.0) * (after / before)
    return covered


def _centred_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the largest centred part with `target`'s proportions."""
    width = min(size[0], max(1, size[1] * target[0] // target[1]))
    height = min(size[1], max(1, size[0] * target[1] // target[0]))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def _pad(picture: PIL.Image.Image, target: tuple[int, int], filter: str) -> npt.NDArray[np.uint8]:
    # Scale by the side that exceeds its target most; never enlarge.
    after, before = min(zip(target, picture.size, strict=True), key=lambda pair: pair[0] / pair[1])
    width, height = picture.size
    if before > after:
        width, height = (max(1, round(side * after / before)) for side in picture.size)
    pixels = resized(picture, (width, height), filter)
    canvas = np.zeros((target[1], target[0], *pixels.shape[2:]), np.uint8)
    top, left = (target[1] - height) // 2, (target[0] - width) // 2
    canvas[top : top + height, left : left + width] = pixels
    return canvas
