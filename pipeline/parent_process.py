"""Processes that end with the one that has started them, however that one ends."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

from pipeline import exit_status

_PR_SET_PDEATHSIG = 1


def end_with_parent(number: signal.Signals) -> Callable[[], None]:
    """For `preexec_fn`: the new process gets a signal when this one ends.

    Args:
        number: The signal.
    """
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # It has ended already: no signal comes any more.
            os._exit(exit_status.of_signal(number))

    return ask
