"""Source of pictures in idx files, the format of MNIST, plain or compressed with gzip."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.data.sources.arrays import arrays_source
from pipeline.data.sources.reason import as_user_error
from pipeline.data.sources.source import Source
from pipeline.errors import UserError

TRAIN_IMAGES = "train-images-idx3-ubyte"
UNSIGNED_BYTE = 8  # Code of the element type uint8 in an idx header.
LARGEST_FILE = 2**32
"""Maximum size of the decompressed pixels or labels, in bytes; they are held in memory."""


def idx_images_in(folder: Path) -> Path | None:
    """Find the file of training images in a folder of idx files; None if there is none."""
    return _plain_or_gzip(folder / TRAIN_IMAGES)


def open_idx(images_file: Path) -> Source:
    """Open `…images-idx3-ubyte[.gz]`, with labels if `…labels-idx1-ubyte[.gz]` is beside it.

    Raises:
        UserError: if a file is damaged or empty, or the numbers of images and labels differ.
    """
    stem = images_file.name.removesuffix(".gz")
    labels_name = stem.replace("images", "labels").replace("idx3", "idx1")
    labels_file = _plain_or_gzip(images_file.with_name(labels_name))
    images = _read_array(images_file, dimensions=3)
    if not images.size:
        raise UserError(f"a source must hold pictures. Received: {images_file}, with none")
    labels = None if labels_file is None else _read_array(labels_file, dimensions=1)
    if labels is not None and len(labels) != len(images):
        raise UserError(
            "idx files must hold one label for each image. "
            f"Received: {len(images)} in {images_file} and {len(labels)} in {labels_file}"
        )
    split = stem.partition("-images")[0]
    return arrays_source(f"{images_file.resolve().parent.name}-{split}", images, labels)


def _plain_or_gzip(path: Path) -> Path | None:
    candidates = (path, path.with_name(f"{path.name}.gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _read_array(path: Path, *, dimensions: int) -> npt.NDArray[np.uint8]:
    header_size = 4 + 4 * dimensions
    expected = UNSIGNED_BYTE << 8 | dimensions
    with (
        as_user_error("an idx file must be readable", path, OSError, EOFError, zlib.error),
        gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file,
    ):
        # Pad a short header with zeros: it is refused below for its magic number or its size.
        header = file.read(header_size).ljust(header_size, b"\0")
        magic, *shape = struct.unpack(f">{dimensions + 1}I", header)
        size = math.prod(shape)
        # Check the size before reading: a header may claim any.
        if magic != expected or size > LARGEST_FILE:
            raise UserError(
                f"an idx file of bytes in {dimensions} dimensions must begin with {expected:#010x} "
                f"and hold at most {LARGEST_FILE} bytes. "
                f"Received: {path}, with {magic:#010x} and {size} bytes"
            )
        # Read one byte more than stated, which reveals a longer file without reading all of it.
        values = file.read(size + 1)
    if len(values) != size:
        raise UserError(
            f"an idx file must hold as many bytes as it states. Received: {path}, stating {shape}"
        )
    return np.frombuffer(values, np.uint8).reshape(shape)
