"""Source of pictures in NumPy files: an array in `.npy`, or images and labels in `.npz`."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.data.sources.arrays import arrays_source
from pipeline.data.sources.reason import as_user_error
from pipeline.data.sources.source import Source
from pipeline.errors import UserError
from pipeline.untrusted.npz_heads import ArrayHeader, read_headers

IMAGES = ("images", "x_train")
LABELS = ("labels", "y_train")
LARGEST_ARRAY = 2**32
"""Maximum size of a decompressed array in an `.npz`, in bytes; it is held in memory."""


def open_numpy(path: Path) -> Source:
    """Open the pictures, and any labels, in an `.npy` or `.npz` file.

    An `.npy` is memory-mapped and has no labels. An `.npz` is loaded into memory: its pictures are
    the array `images` or `x_train`, or else the only array of 3 or 4 dimensions; its labels are
    the array `labels` or `y_train`, of integers or text.

    Raises:
        UserError: if the file is damaged or an array of an `.npz` too large, the array of pictures
            is missing, ambiguous or of a wrong shape or type, or labels are not one per picture.
    """
    # `zipfile` raises RuntimeError for a password or an unknown compression.
    errors = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
    with as_user_error("a NumPy file must be whole and hold no objects", path, *errors):
        with path.open("rb") as file:
            # Look at the content, as NumPy does: an npz may have the extension `.npy`.
            if file.read(2) == b"PK":
                return _open_npz(path, file)
        # Pass the path, not the open file: NumPy memory-maps only a file that it opens itself.
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    _require_pictures(path, ArrayHeader(images.dtype, images.shape))
    return arrays_source(path.stem, images, None)


def _open_npz(path: Path, file: BinaryIO) -> Source:
    # Check the headers before loading: a small npz may decompress to more than the memory.
    heads = read_headers(file)
    name = _name_of_images(path, heads)
    _require_pictures(path, heads[name])
    labels = next((each for each in LABELS if each in heads), None)
    if labels is not None:
        _require_labels(path, heads[labels], heads[name].shape[0])
    for each in filter(None, (name, labels)):
        if heads[each].bytes > LARGEST_ARRAY:
            raise UserError(
                f"an array in an .npz must unpack to at most {LARGEST_ARRAY} bytes; an .npy may be "
                f"larger. Received: {path}, with {each} of {heads[each].bytes}"
            )
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        values = None if labels is None else archive[labels].reshape(-1)
        return arrays_source(path.stem, archive[name], values)


def _name_of_images(path: Path, heads: Mapping[str, ArrayHeader]) -> str:
    for name in IMAGES:
        if name in heads:
            return name
    candidates = [name for name, head in heads.items() if len(head.shape) in (3, 4)]
    if len(candidates) != 1:
        raise UserError(
            f"an .npz must hold pictures as {' or '.join(IMAGES)}, or one array of 3 or 4 "
            f"dimensions. Received: {path}, with {', '.join(heads) or 'nothing'}"
        )
    return candidates[0]


def _require_pictures(path: Path, head: ArrayHeader) -> None:
    dtype, shape = head
    fits = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))
    if not fits or dtype.kind != "u" or dtype.itemsize > 2 or 0 in shape:
        raise UserError(
            "pictures in a NumPy file must be uint8 or uint16, (count, height, width) or (count, "
            f"height, width, 1, 3 or 4). Received: {path}, with {dtype} {shape}"
        )


def _require_labels(path: Path, head: ArrayHeader, count: int) -> None:
    dtype, shape = head
    # Accept labels in one column too, as Keras loads those of CIFAR.
    if shape not in ((count,), (count, 1)) or dtype.kind not in "iuU":
        raise UserError(
            "labels in a NumPy file must be whole numbers or text, one for each picture. "
            f"Received: {path}, with {dtype} {shape} for {count} pictures"
        )
