"""Read array headers of an untrusted npz file before any array is decompressed."""

from __future__ import annotations

import math
import zipfile
from typing import Any, BinaryIO, NamedTuple

import numpy as np

# Leave out version 3.0: only structured arrays with field names beyond Latin-1 need it.
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class ArrayHeader(NamedTuple):
    """Type and shape of one array, as its header claims; the content may differ."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size of the array in memory, in bytes."""
        return self.dtype.itemsize * math.prod(self.shape)


def read_headers(file: BinaryIO) -> dict[str, ArrayHeader]:
    """Read the headers of all arrays in an npz file, by name of the array.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if an entry is not an array, has a negative size, or holds objects.
        zipfile.BadZipFile: if the file is damaged; `zipfile` raises other errors for some damage.
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
                # Refuse objects: they are stored as a pickle, which could run any code.
                if dtype.hasobject:
                    raise ValueError(f"{info.filename} holds objects")
                heads[info.filename.removesuffix(".npy")] = ArrayHeader(dtype, shape)
        return heads
