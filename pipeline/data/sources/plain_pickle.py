"""Read the pickled dictionaries of CIFAR's Python batches without running code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pipeline.data.sources.reason import as_user_error
from pipeline.untrusted import safe_pickle

LARGEST_PICKLE = 2**31  # Largest file to read, in bytes.


def load_plain_pickle(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary of plain values and arrays of uint8.

    Strings of Python 2 become bytes, or str where they are keys. Nothing that a pickle names is
    imported or called.

    Raises:
        UserError: if the file cannot be read, is damaged, or holds anything else.
    """
    rule = "a pickle must be a dictionary of plain values and arrays of bytes only"
    with as_user_error(rule, path, OSError, ValueError, safe_pickle.UnsafeFile):
        if path.stat().st_size > LARGEST_PICKLE:
            raise ValueError(f"larger than {LARGEST_PICKLE} bytes")
        # Keep strings of Python 2 as bytes, because Python 2 wrote text and bytes alike.
        found = safe_pickle.load(
            io.BytesIO(path.read_bytes()), numbers=("u1",), text_of_python_2=bytes
        )
        if not isinstance(found, dict):
            raise ValueError("not a dictionary")
    # Decode keys as Latin-1, which accepts any byte.
    return {
        key.decode("latin1") if isinstance(key, bytes) else key: value
        for key, value in found.items()
    }
