"""Named arrays: out of npz files and into them, and the hash of their content."""

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
"""Most bytes that the arrays of a file may unpack to; those of networks here have under 2 MiB."""
Arrays = Mapping[str, npt.NDArray[Any]]


def arrays_in(file: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an npz file; pickles are not read.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no npz file, is damaged, holds Python objects, or unpacks to more than
            weights of small networks do.
    """
    try:
        with file.open("rb") as opened:
            if sum(head.bytes for head in heads_in(opened).values()) > LARGEST:
                raise ValueError(f"it unpacks to more than {LARGEST} bytes")
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as content:
                return {name: content[name] for name in content.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, TypeError, RuntimeError) as error:
        raise ValueError(f"no npz file: {error}") from error


def npz_of(arrays: Arrays) -> bytes:
    """The content of an npz file."""
    content = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez(content, **named)
    return content.getvalue()


def hash_of(arrays: Arrays) -> str:
    """SHA-256, in hex, of named arrays: of their names, types, shapes and values.

    That of a file would change with the dates in it.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
