"""Measure each picture for `growgan data check`: format, hashes, colours, thumbnail features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageChops

from pipeline.data.conversion import UNLABELLED, Skipped
from pipeline.data.formats import upright_eight_bit
from pipeline.data.sources import Picture, Source
from pipeline.data.sources.reason import reason_of

THUMB = 32  # Side of a thumbnail in pixels; pictures are stretched to a square.
CELLS = 4  # Cells along each side of a thumbnail; features are taken per cell.
FEATURES = 4 * CELLS**2
"""Features of a picture: mean red, green, blue, and deviation of luma, in each cell."""
GREY_SPREAD = 8
"""Largest difference between the channels of a pixel in a grey picture, in levels: lossy
compression causes as much, and it is too little to see."""
DARK_BORDER = 8  # Largest level in the border of a thumbnail that counts as black.
REC_601 = np.array([0.299, 0.587, 0.114])
HASH_SIDE = 8
"""Number of frequencies, the lowest ones, along each axis of a perceptual hash: 8 x 8 bits."""
SAMPLED = 32
"""Minimum number of pictures to sample, and 63 the maximum, to decide if a source is in colour."""

Bytes = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measurements:
    """Measurements of pictures: one column per quantity, one row per readable picture."""

    names: list[str]  # Names of the pictures in the source
    labels: npt.NDArray[np.int64]  # Indices into the source's classes, or -1; (count,)
    formats: list[str]  # Pillow's names of the file formats, such as PNG; `pixels` for arrays
    modes: list[str]  # Modes of the stored pixels, by Pillow's names
    sizes: npt.NDArray[np.int64]  # Widths and heights in pixels, upright; (count, 2)
    digests: list[bytes]  # SHA-256 of the stored bytes, by which exact copies are found
    hashes: npt.NDArray[np.uint64]  # Perceptual hashes; (count,)
    means: Array  # Mean level of each channel of RGB; (count, 3)
    squares: Array  # Mean squared level of each channel of RGB; (count, 3)
    grey: npt.NDArray[np.bool_]  # True for pictures without colour; (count,)
    dark_borders: npt.NDArray[np.bool_]
    """True if no level on the thumbnail's border exceeds `DARK_BORDER`; (count,)."""
    features: Array  # Features by `thumbnail_features`; (count, 64)
    grey_thumbs: Bytes
    """Grey thumbnails for `perceptual_hashes` and mirror symmetry; (count, 32, 32)."""
    unreadable: list[Skipped]  # Pictures that could not be read


class _Measured(NamedTuple):
    """Measurements of one picture; of its pixels only the thumbnails are kept."""

    name: str
    label: int
    format: str
    mode: str
    size: tuple[int, int]
    digest: bytes
    histogram: list[int]
    grey: bool
    thumb: Bytes
    grey_thumb: Bytes


def measure(pictures: Iterable[Picture]) -> Measurements:
    """Read pictures one at a time, and measure them as upright 8-bit RGB."""
    read: list[_Measured] = []
    unreadable: list[Skipped] = []
    for picture in pictures:
        one = _measure_one(picture)
        unreadable.append(one) if isinstance(one, Skipped) else read.append(one)
    count = len(read)
    thumbs = _stack([one.thumb for one in read], (THUMB, THUMB, 3))
    grey_thumbs = _stack([one.grey_thumb for one in read], (THUMB, THUMB))
    histograms = np.array([one.histogram for one in read], np.float64).reshape(count, 3, 256)
    shares = histograms / histograms.sum(2, keepdims=True)
    levels = np.arange(256)
    return Measurements(
        names=[one.name for one in read],
        labels=np.array([one.label for one in read], np.int64),
        formats=[one.format for one in read],
        modes=[one.mode for one in read],
        sizes=np.array([one.size for one in read], np.int64).reshape(count, 2),
        digests=[one.digest for one in read],
        hashes=perceptual_hashes(grey_thumbs),
        means=shares @ levels,
        # From histograms: exact sums without a copy of all pixels as floats.
        squares=shares @ levels**2,
        grey=np.array([one.grey for one in read], np.bool_),
        dark_borders=_border(thumbs).max(1, initial=0) <= DARK_BORDER,
        features=thumbnail_features(thumbs),
        grey_thumbs=grey_thumbs,
        unreadable=unreadable,
    )


def perceptual_hashes(grey_thumbs: Bytes) -> npt.NDArray[np.uint64]:
    """Compute 64-bit hashes that differ in few bits between pictures that look alike.

    Each bit is 1 if one of the lowest 8x8 coefficients of the cosine transform exceeds their
    median. The hash equals `imagehash.phash`, highest bit first, unless a coefficient is zero: in
    imagehash, rounding noise then decides the bit. `grey_thumbs` are (count, 32, 32), made with
    Pillow's Lanczos filter.

    Source: Krawetz, "Looks like it", hackerfactor.com, 2011.
    """
    frequency, position = np.arange(HASH_SIDE)[:, None], np.arange(THUMB)[None]
    cosines = 2 * np.cos(np.pi * frequency * (2 * position + 1) / (2 * THUMB))
    # Round, so that a coefficient of zero gives the same bit on every machine.
    coefficients = np.round(cosines @ grey_thumbs.astype(np.float64) @ cosines.T, 6)
    flat = coefficients.reshape(len(grey_thumbs), HASH_SIDE**2)
    bits = flat > np.median(flat, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def thumbnail_features(thumbs: Bytes) -> Array:
    """Compute features of RGB thumbnails: where they are bright, coloured and textured.

    For each of 4x4 cells: the means of red, green and blue, and the standard deviation of luma, all
    divided by 255. `(count, 32, 32, 3) → (count, 64)`: cells of red row by row,
    then of green, blue and the deviation.
    """
    planes = np.moveaxis(thumbs, 3, 1).astype(np.float64) / 255
    luma = np.tensordot(planes, REC_601, axes=(1, 0))[:, None]
    means = cell_means(np.concatenate([planes, luma, luma**2], axis=1))
    colours, light, light_squared = means[:, :3], means[:, 3:4], means[:, 4:]
    # Rounding may leave a variance just below zero.
    deviations = np.sqrt(np.maximum(0, light_squared - light**2))
    return np.concatenate([colours, deviations], axis=1).reshape(len(thumbs), FEATURES)


def cell_means(planes: Array) -> Array:
    """Average over each of 4x4 cells: `(count, channels, 32, 32) → (count, channels, 4, 4)`."""
    pool = np.kron(np.eye(CELLS), np.ones(THUMB // CELLS)) / (THUMB // CELLS)
    means: Array = pool @ planes @ pool.T
    return means


def _measure_one(picture: Picture) -> _Measured | Skipped:
    try:
        digest = hashlib.sha256(picture.content()).digest()
        stored = picture.read()
        colour = upright_eight_bit(stored, 3)
    # Pillow's decoders raise a dozen kinds of errors on damaged files, even `SyntaxError`.
    except Exception as error:
        return Skipped(picture.name, reason_of(error))
    size = (THUMB, THUMB)
    thumb = colour.resize(size, PIL.Image.Resampling.BOX)
    return _Measured(
        name=picture.name,
        label=UNLABELLED if picture.label is None else picture.label,
        format=stored.format or "pixels",
        mode=stored.mode,
        size=colour.size,
        digest=digest,
        histogram=colour.histogram(),
        grey=_is_grey(colour, thumb),
        thumb=np.asarray(thumb),
        grey_thumb=np.asarray(colour.convert("L").resize(size, PIL.Image.Resampling.LANCZOS)),
    )


def is_in_colour(source: Source) -> bool:
    """Check whether most of an evenly spaced sample of the pictures is in colour."""
    step = max(1, len(source) // SAMPLED)
    grey = measure(source[number] for number in range(0, len(source), step)).grey
    return len(grey) > 0 and float(grey.mean()) < 0.5


def _is_grey(colour: PIL.Image.Image, thumb: PIL.Image.Image) -> bool:
    # Test the small thumbnail first: a mean is never more colourful than its pixels, so a coloured
    # thumbnail proves a coloured picture. Add 1 for rounding.
    return _colourfulness(thumb) <= GREY_SPREAD + 1 and _colourfulness(colour) <= GREY_SPREAD


def _colourfulness(colour: PIL.Image.Image) -> int:
    red, green, blue = colour.split()
    pairs = ((red, green), (green, blue), (blue, red))
    return max(_max_level(PIL.ImageChops.difference(*pair)) for pair in pairs)


def _max_level(plane: PIL.Image.Image) -> int:
    extrema: Any = plane.getextrema()  # one pair for one channel, a list of pairs for several
    return int(extrema[1])


def _border(thumbs: Bytes) -> Bytes:
    """Return all levels of the outermost pixels, (count, levels)."""
    sides = (thumbs[:, 0], thumbs[:, -1], thumbs[:, :, 0], thumbs[:, :, -1])
    return np.concatenate(sides, axis=1).reshape(len(thumbs), 4 * THUMB * 3)


def _stack(images: Sequence[Bytes], shape: tuple[int, ...]) -> Bytes:
    return np.stack(images) if images else np.zeros((0, *shape), np.uint8)
