"""Read, write and hash named arrays in npz files."""

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

from pipeline.untrusted.npz_heads import heads_in

LARGEST = 2**26
"""Most bytes of a file's arrays in memory; those of our networks have under 2 MiB."""
Arrays = Mapping[str, npt.NDArray[Any]]


def arrays_in(file: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an npz file; pickles are refused.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not an npz file, is damaged, holds Python objects, or is larger in
            memory than `LARGEST`.
    """
    try:
        with file.open("rb") as opened:
            # Before anything is unpacked: a small file may unpack to more than the memory holds.
            if sum(head.bytes for head in heads_in(opened).values()) > LARGEST:
                raise ValueError(f"its arrays have more than {LARGEST} bytes")
            opened.seek(0)
            # No pickles, which run code when they are read.
            with np.load(opened, allow_pickle=False) as content:
                return {name: content[name] for name in content.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, TypeError, RuntimeError) as error:
        raise ValueError(f"not an npz file: {error}") from error


def npz_of(arrays: Arrays) -> bytes:
    """Return the content of an npz file of named arrays."""
    content = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez(content, **named)
    return content.getvalue()


def hash_of(arrays: Arrays) -> str:
    """Compute the SHA-256, in hex, of arrays' names, types, shapes and values."""
    # Not of the file, which has dates in it.
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        # Types and shapes too: equal bytes may be different arrays.
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
