"""Deadline of the current request, checked in loops over the values of its JSON body."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from savedmodels.server.codes import Code, Refused

Value = TypeVar("Value")
_EVERY = 1024  # values between two checks of the deadline, as each check reads the time
# Deadline in seconds of `time.monotonic`. A context variable saves passing it to every function.
_deadline = ContextVar("deadline", default=float("inf"))


def timed_out() -> Refused:
    """Make the error for a request whose deadline has passed."""
    return Refused(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")


@contextmanager
def set_deadline(deadline: float) -> Iterator[None]:
    """Set the deadline, in seconds of `time.monotonic`, of `until_deadline` within this block."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def until_deadline(values: Iterable[Value]) -> Iterator[Value]:
    """Yield values; once the deadline of `set_deadline` has passed, raise `Refused` instead."""
    # Python cannot interrupt a thread, so a long loop has to check the deadline itself.
    for index, value in enumerate(values):
        if index % _EVERY == _EVERY - 1 and time.monotonic() > _deadline.get():
            raise timed_out()
        yield value
