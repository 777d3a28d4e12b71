"""What an exception of a library says, in one line of a message."""

from __future__ import annotations


def reason_of(error: Exception) -> str:
    """The first line of what an error says, without a path; its kind if it says nothing."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    [line, *_] = text.strip().splitlines() or [type(error).__name__]
    return line
