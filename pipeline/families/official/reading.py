"""Untrusted files: read whole, or refused with one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UserError
from pipeline.untrusted.safe_pickle import UnsafePickle

LARGEST_FILE = 2**31
"""Largest size in bytes of a file, and of its unpacked content; published files have 400 MB."""


@contextmanager
def refuse_damage(path: Path, rule: str) -> Iterator[None]:
    """Turn any error while reading a file into one line: the rule it breaks, and the reason.

    Raises:
        UserError: if the block raises anything.
    """
    try:
        yield
    # Parsers of a damaged file can raise nearly anything.
    except Exception as error:
        known = str(error) if isinstance(error, UnsafePickle) else getattr(error, "strerror", None)
        raise UserError(f"{rule}. Received: {path} ({known or 'it is damaged'})") from error


def read_whole(path: Path) -> bytes:
    """Read a whole file within `refusals`."""
    # Before reading: a huge file must not fill the memory first.
    if path.stat().st_size > LARGEST_FILE:
        raise UnsafePickle(f"it is larger than {LARGEST_FILE} bytes")
    return path.read_bytes()
