"""Read array headers of an untrusted npz file before any array is decompressed."""

from __future__ import annotations

import math
import zipfile
from typing import Any, BinaryIO, NamedTuple

import numpy as np

# Version 3.0 is for structures alone, with names beyond Latin-1.
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Head(NamedTuple):
    """Type and shape of one array, as its header claims."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size of the array in memory."""
        return self.dtype.itemsize * math.prod(self.shape)


def heads_in(file: BinaryIO) -> dict[str, Head]:
    """Read the headers of all arrays in an npz file, by name.

    Raises:
        OSError: if it cannot be read.
        ValueError: if an entry is not an array, has a negative size, or holds objects.
        zipfile.BadZipFile: if it is damaged; `zipfile` may raise other errors too.
    """
    with zipfile.ZipFile(file) as archive:
        heads = {}
        for info in archive.infolist():
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                if version not in _READERS:
                    raise ValueError(f"{info.filename} has a head of version {version}")
                shape, _, dtype = _READERS[version](member)
                if any(size < 0 for size in shape):
                    raise ValueError(f"{info.filename} claims the shape {shape}")
                # Objects are stored as a pickle, which could run any code.
                if dtype.hasobject:
                    raise ValueError(f"{info.filename} holds objects")
                heads[info.filename.removesuffix(".npy")] = Head(dtype, shape)
        return heads
