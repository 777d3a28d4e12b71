"""How long a request may still be worked on, for loops that an input can make long."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from savedmodels.server.codes import Code, Refused

Value = TypeVar("Value")
EVERY = 1024
"""Values between two looks at the clock."""
_deadline = ContextVar("deadline", default=float("inf"))


def timed_out() -> Refused:
    """What a request is answered with whose time has run out."""
    return Refused(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """A block for a request that nobody waits for any longer, by the monotonic clock in seconds."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def require_time() -> None:
    """Refuse to go on with a request that nobody waits for.

    Raises:
        Refused: DEADLINE_EXCEEDED.
    """
    if time.monotonic() > _deadline.get():
        raise timed_out()


def while_time(values: Iterable[Value]) -> Iterator[Value]:
    """The values, as long as there is time.

    Raises:
        Refused: DEADLINE_EXCEEDED.
    """
    for index, value in enumerate(values):
        if index % EVERY == EVERY - 1:
            require_time()
        yield value
