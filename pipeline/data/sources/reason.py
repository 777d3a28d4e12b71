"""Text of a library's exception, in one line."""

from __future__ import annotations

import re


def reason_of(error: Exception) -> str:
    """The first line of what an error says, without a path; its kind if it says nothing."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    [line, *_] = text.strip().splitlines() or [type(error).__name__]
    # The memory address of the buffer a picture was read from helps nobody.
    return re.sub(r" <_io\.BytesIO object at 0x[0-9a-f]+>", "", line)
