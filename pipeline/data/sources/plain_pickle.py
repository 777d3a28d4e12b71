"""Pickled dictionaries of plain values and arrays of bytes, read without running code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pipeline.data.sources.reason import reason_of
from pipeline.errors import UserError
from pipeline.untrusted import safe_pickle

LARGEST_PICKLE = 2**31
"""Most bytes of a file that is read."""


def load_plain_pickle(path: Path) -> dict[str, Any]:
    """A pickled dictionary, if it is made of plain values and arrays of uint8 alone.

    Texts that Python 2 wrote are bytes, but for the keys.

    Nothing that a pickle names is imported or called: the names that NumPy writes for an array of
    uint8 stand for checked replacements, and any other name is refused.

    Raises:
        UserError: if it cannot be read, is damaged, or holds anything else.
    """
    try:
        if path.stat().st_size > LARGEST_PICKLE:
            raise ValueError(f"larger than {LARGEST_PICKLE} bytes")
        # Python 2 wrote both texts and bytes as what Python 3 holds for texts.
        found = safe_pickle.load(
            io.BytesIO(path.read_bytes()), numbers=("u1",), text_of_python_2=bytes
        )
        if not isinstance(found, dict):
            raise ValueError("no dictionary")
    except (OSError, ValueError, safe_pickle.Refused) as error:
        raise UserError(
            "a pickle must be a dictionary of nothing but plain values and arrays of bytes. "
            f"Received: {path} ({reason_of(error)})"
        ) from error
    return {
        key.decode("latin1") if isinstance(key, bytes) else key: value
        for key, value in found.items()
    }
