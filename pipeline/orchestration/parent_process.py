"""Make subprocesses end when their parent ends, even if the parent is killed (Linux only)."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

from pipeline import exit_status

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` for `Popen`: the kernel signals the child when this process ends."""
    libc, parent = ctypes.CDLL(None), os.getpid()

    def request_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # The parent ended before the request, so no signal will come.
            os._exit(exit_status.of_signal(number))

    return request_signal
