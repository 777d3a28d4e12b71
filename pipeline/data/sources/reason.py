"""Describe an exception of a library in one line, and turn it into a `UserError`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import UserError


def reason_of(error: Exception) -> str:
    """Return the first line of an error's message, without an OSError's path, or else its type."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    [line, *_] = text.strip().splitlines() or [type(error).__name__]
    # Remove the memory address of the picture's buffer, which Pillow adds and no reader needs.
    return re.sub(r" <_io\.BytesIO object at 0x[0-9a-f]+>", "", line)


@contextmanager
def as_user_error(rule: str, received: object, *errors: type[Exception]) -> Iterator[None]:
    """Replace errors of these types in the block by a UserError.

    Raises:
        UserError: if the block raises one of `errors`; it states the rule that the input broke, and
            the input that was received.
    """
    try:
        yield
    except errors as error:
        raise UserError(f"{rule}. Received: {received} ({reason_of(error)})") from error
