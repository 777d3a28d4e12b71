"""Exit statuses of `growgan`: meaning of each, and what a scheduler should do.

README.md and docs/training.md list them for users. 0 is success; 1 is a bug in the program.
"""

from __future__ import annotations

import signal

USER = 2  # Bad input, configuration or environment: report it; a repetition fails in the same way.
ALARM = 3  # An alarm stopped the run: report it; the last good checkpoint is kept.
GATE = 4  # The gate refused the model: keep the promoted one.
VERIFY = 5  # A SavedModel failed its verification: do not publish it.
WORKER_GONE = 69
"""Another worker of the run ended: start all workers again. `EX_UNAVAILABLE` of sysexits.h."""
FILE = 74  # A file cannot be read or written now: start again once the disk has space. `EX_IOERR`.
AGAIN = 75  # The time limit was reached, or a temporary failure: start again. `EX_TEMPFAIL`.


def of_signal(number: int) -> int:
    """Return the exit status that shells report for a process ended by a signal."""
    return 128 + number


STOPPED = frozenset(map(of_signal, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)))
"""Statuses after a signal stopped the command: training has saved a checkpoint; start again."""
