"""Pictures in NumPy's own files: an array in `.npy`, or images and labels in `.npz`."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pipeline.data.sources.arrays import Images, arrays_source
from pipeline.data.sources.numbered import Numbered
from pipeline.data.sources.reason import reason_of
from pipeline.errors import UserError

IMAGES = ("images", "x_train")
LABELS = ("labels", "y_train")
LARGEST_ARRAY = 2**32
"""Most bytes that an array in an `.npz` may unpack to: it is held in memory."""


def open_numpy(path: Path) -> Numbered:
    """The pictures, and labels if there are any, of an `.npy` or `.npz` file.

    An `.npy` is mapped, and read a picture at a time; it has no labels. In an `.npz` the pictures
    are `images` or `x_train`, or else the only array of 3 or 4 dimensions, and the labels are
    whole numbers or text called `labels` or `y_train`; all are held in memory.

    Pictures are uint8 or uint16, (count, height, width) or (count, height, width, 1, 3 or 4).
    Pickled objects are refused.

    Raises:
        UserError: if the file is damaged, no array or more than one can be the pictures, they are
            of another kind, or labels are not one for each.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                return _opened_npz(path, file)
        # Mapped only if NumPy opens the file itself.
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    # A password or an unknown compression is a RuntimeError.
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"a NumPy file must be whole and hold no objects. Received: {path} ({reason_of(error)})"
        ) from error
    return arrays_source(path.stem, _pictures(path, images), None)


def _opened_npz(path: Path, file: BinaryIO) -> Numbered:
    for info in zipfile.ZipFile(file).infolist():
        if info.file_size > LARGEST_ARRAY:
            raise UserError(
                f"an array in an .npz must unpack to at most {LARGEST_ARRAY} bytes; an .npy may be "
                f"larger. Received: {path}, with {info.filename} of {info.file_size}"
            )
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        images = _pictures(path, _images_in(path, archive))
        values = next((archive[name] for name in LABELS if name in archive), None)
    labels = None if values is None else _labels(path, values, len(images))
    return arrays_source(path.stem, images, labels)


def _images_in(path: Path, archive: np.lib.npyio.NpzFile) -> npt.NDArray[Any]:
    for name in IMAGES:
        if name in archive:
            return archive[name]
    found = [array for name in archive.files if np.ndim(array := archive[name]) in (3, 4)]
    if len(found) != 1:
        raise UserError(
            f"an .npz must hold pictures as {' or '.join(IMAGES)}, or one array of 3 or 4 "
            f"dimensions. Received: {path}, with {', '.join(archive.files) or 'nothing'}"
        )
    return found[0]


def _pictures(path: Path, images: npt.NDArray[Any]) -> Images:
    shape = images.shape
    fits = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))
    if not fits or images.dtype.kind != "u" or images.dtype.itemsize > 2 or not images.size:
        raise UserError(
            "pictures in a NumPy file must be uint8 or uint16, (count, height, width) or (count, "
            f"height, width, 1, 3 or 4). Received: {path}, with {images.dtype} {shape}"
        )
    return images


def _labels(path: Path, values: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    # Keras keeps the labels of CIFAR as one column.
    flat = values[:, 0] if values.shape[1:] == (1,) else values
    if flat.shape != (count,) or flat.dtype.kind not in "iuU":
        raise UserError(
            "labels in a NumPy file must be whole numbers or text, one for each picture. "
            f"Received: {path}, with {values.dtype} {values.shape} for {count} pictures"
        )
    return flat
