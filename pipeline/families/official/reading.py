"""Files that nobody vouches for: read whole, or refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UserError
from pipeline.untrusted.safe_pickle import Refused

LARGEST_FILE = 2**31
"""Most bytes of a file that is read, or that it may unpack to; published ones have up to 400 MB."""


@contextmanager
def refusals(path: Path, rule: str) -> Iterator[None]:
    """Make of all that goes wrong with a file the line that it breaks a rule, and why.

    Raises:
        UserError: if anything does.
    """
    try:
        yield
    # A damaged file can raise nearly anything.
    except Exception as error:
        raise UserError(f"{rule}. Received: {path} ({_reason_of(error)})") from error


def _reason_of(error: Exception) -> str:
    match error:
        case Refused():
            return str(error)
        case OSError(strerror=str(reason)):
            return reason
    return "it is damaged"


def content_of(path: Path) -> bytes:
    """All of a file.

    Raises:
        OSError: if it cannot be read.
        Refused: if it is too large.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise Refused(f"it is larger than {LARGEST_FILE} bytes")
    return path.read_bytes()
