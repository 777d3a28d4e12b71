"""Describe an exception of a library in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import UserError


def reason_of(error: Exception) -> str:
    """Return the first line of an error's message without a path; its type if it has none."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    [line, *_] = text.strip().splitlines() or [type(error).__name__]
    # Pillow names the memory address of the picture's buffer, which helps no reader.
    return re.sub(r" <_io\.BytesIO object at 0x[0-9a-f]+>", "", line)


@contextmanager
def refusing(rule: str, received: object, *errors: type[Exception]) -> Iterator[None]:
    """Refuse what was received, as it breaks a rule, when the block raises one of the errors.

    Raises:
        UserError: in place of these errors.
    """
    try:
        yield
    except errors as error:
        raise UserError(f"{rule}. Received: {received} ({reason_of(error)})") from error
