"""Exit statuses of `growgan`: what each means, and what a scheduler should do then.

README.md and docs/training.md have them for users. 0 is success, 1 a fault of the program itself.
"""

from __future__ import annotations

import signal

USER = 2
"""Bad input, configuration or environment: report it; the same again ends the same."""
ALARM = 3
"""An alarm stopped the run: report it; the last good checkpoint is kept."""
GATE = 4
"""The gate refused: keep what is promoted."""
VERIFY = 5
"""A SavedModel failed its verification: do not publish it."""
WORKER_GONE = 69
"""Another worker of the run ended: start all workers again. `EX_UNAVAILABLE` of sysexits.h."""
FILE = 74
"""A file cannot be read or written now: start again once the disk has room. `EX_IOERR`."""
AGAIN = 75
"""The time limit came, or something may pass: start again. `EX_TEMPFAIL`."""


def of_signal(number: int) -> int:
    """Return the status, as shells have it, of a process that a signal ended."""
    return 128 + number


STOPPED = frozenset(map(of_signal, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)))
"""A signal stopped the command, and a checkpoint is saved: start again."""
