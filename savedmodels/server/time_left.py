"""Deadline of the current request, checked within loops over its input."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from savedmodels.server.codes import Code, Refused

Value = TypeVar("Value")
_EVERY = 1024  # values between two checks, which each read the time
# A variable of the context, so that readers of values need no further parameter.
_deadline = ContextVar("deadline", default=float("inf"))


def timed_out() -> Refused:
    """Make the error for a request whose deadline has passed."""
    return Refused(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Set the deadline, in seconds of the monotonic clock, for the work in this block."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def while_time(values: Iterable[Value]) -> Iterator[Value]:
    """Yield values until the deadline passes, then refuse the request."""
    # Threads cannot be interrupted, so a long loop has to check the deadline itself.
    for index, value in enumerate(values):
        if index % _EVERY == _EVERY - 1 and time.monotonic() > _deadline.get():
            raise timed_out()
        yield value
