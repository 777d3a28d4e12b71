"""Signals that stop a command, and the time limit as it is written."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline import exit_status
from pipeline.errors import UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, the end of a service, and that of a terminal or connection."""
_UNITS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


class Interruption:
    """Signals of one process: Ctrl-C, SIGTERM, and SIGHUP unless `nohup` has it ignored.

    The first signal ends the process, cleanly, until `only_note` is called; from then on it only
    sets `status`.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._only_note = False
        self._numbers = heeded_signals()
        self._listen()

    def _listen(self) -> None:
        for number in self._numbers:
            signal.signal(number, self._receive)

    @property
    def status(self) -> int:
        """Exit status of a process that the signal ends; 0 before one has come."""
        return exit_status.of_signal(self.signal) if self.signal else 0

    def only_note(self) -> None:
        """Let a signal from now on only set `status`, or exit if one has come already."""
        self._only_note = True
        # A library may have swallowed the exception of the signal, as in a callback.
        if self.signal:
            raise SystemExit(self.status)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Run a block during which signals wait, and take effect at its end."""
        # Threads inherit the mask: while workers connect, TensorFlow's would take SIGTERM in vain.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            yield
        finally:
            # TensorFlow has put in its own handler for SIGTERM.
            self._listen()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _receive(self, number: int, _: Any) -> None:
        self.signal = number
        # Ctrl-C as a second signal ends a process that takes too long.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for each in self._numbers:
            if each != signal.SIGINT:
                # Who stops a service tells all its processes, and each tells those it has started:
                # a second SIGTERM must not end the saving of a checkpoint.
                signal.signal(each, _heed_no_more)
        if not self._only_note:
            raise SystemExit(self.status)


def heeded_signals() -> list[signal.Signals]:
    """Return the signals that end a command: not SIGHUP where `nohup` has it ignored."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in SIGNALS if number != signal.SIGHUP or not ignored]


def _heed_no_more(*_: Any) -> None:
    """Do nothing; with SIG_IGN instead, programs started from now on would ignore the signal."""


def seconds_of(limit: str) -> float:
    """Parse `90s`, `30m`, `2h`, `1h30m` or `1d`, or Slurm's `MM:SS` to `D-HH:MM:SS`, to seconds."""
    match = _UNITS.fullmatch(limit.strip()) or _CLOCK.fullmatch(limit.strip())
    days, hours, minutes, seconds = (
        (int(part or 0) for part in match.groups()) if match else [0] * 4
    )
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not total:  # Each unit may be missing, and so may all.
        raise UserError(
            "`--time-limit` must be a time such as 90s, 30m, 1h30m, or 1:30:00 as in Slurm. "
            f"Received: {limit}"
        )
    return float(total)
