"""Reading of untrusted weight files: limit on their size, and one-line errors for damaged ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UserError
from pipeline.untrusted.safe_pickle import UnsafeFile

LARGEST_FILE = 2**31
"""Maximum bytes of a file, and of its unpacked content; published files have about 400 MB."""


@contextmanager
def refuse_damage(path: Path, rule: str) -> Iterator[None]:
    """Turn any exception while reading a file into a `UserError` with rule, path and reason.

    Raises:
        UserError: if the block raises an exception.
    """
    try:
        yield
    # Catch everything: parsers of a damaged file can raise nearly any exception.
    except Exception as error:
        reason = str(error) if isinstance(error, UnsafeFile) else getattr(error, "strerror", None)
        raise UserError(f"{rule}. Received: {path} ({reason or 'it is damaged'})") from error


def read_whole(path: Path) -> bytes:
    """Read a whole file, for use within `refuse_damage`.

    Raises:
        UnsafeFile: if the file is larger than `LARGEST_FILE`; `refuse_damage` shows its message.
    """
    # Check before reading, so that a huge file does not fill the memory.
    if path.stat().st_size > LARGEST_FILE:
        raise UnsafeFile(f"it is larger than {LARGEST_FILE} bytes")
    return path.read_bytes()
