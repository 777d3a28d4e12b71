"""Read, write and hash the named arrays of npz files, for the weights of our feature networks."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.untrusted.npz_heads import read_headers

MAX_BYTES = 2**26
"""Maximum size of a file's unpacked arrays in bytes; our networks need less than 2 MiB."""
Arrays = Mapping[str, npt.NDArray[Any]]


def read_arrays(file: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an npz file; pickles are refused.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no npz file, is damaged, holds objects, or exceeds `MAX_BYTES`.
    """
    try:
        with file.open("rb") as opened:
            # Check the sizes before unpacking: a small file may unpack to more than fits in memory.
            if sum(head.bytes for head in read_headers(opened).values()) > MAX_BYTES:
                raise ValueError(f"its arrays have more than {MAX_BYTES} bytes")
            opened.seek(0)
            # Refuse pickles, which run code when they are read.
            with np.load(opened, allow_pickle=False) as content:
                return {name: content[name] for name in content.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, TypeError, RuntimeError) as error:
        raise ValueError(f"not an npz file: {error}") from error


def npz_of(arrays: Arrays) -> bytes:
    """Return the content of an npz file of named arrays."""
    content = io.BytesIO()
    by_name: dict[str, Any] = dict(arrays)
    np.savez(content, **by_name)
    return content.getvalue()


def hash_of(arrays: Arrays) -> str:
    """Compute one SHA-256, in hex, over the names, types, shapes and values of all arrays."""
    # Hash the arrays, not the npz file, which also holds dates.
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        # Include type and shape: different arrays may have the same bytes.
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
