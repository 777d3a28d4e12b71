"""Handle the signals that stop a command, and parse `--time-limit`."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline import exit_status
from pipeline.errors import UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals of Ctrl-C, of a service manager that stops a service, and of a closed terminal."""
_UNITS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


class Interruption:
    """Handler of the signals that stop this process: SIGINT, SIGTERM, and SIGHUP without `nohup`.

    Until `only_note` is called, the first signal ends the process; then it only sets `status`.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._only_note = False
        self._numbers = stop_signals()
        self._listen()

    def _listen(self) -> None:
        for number in self._numbers:
            signal.signal(number, self._receive)

    @property
    def status(self) -> int:
        """Exit status that the received signal asks for; 0 if none was received."""
        return exit_status.of_signal(self.signal) if self.signal else 0

    def only_note(self) -> None:
        """Let a signal from now on only set `status`, or exit if one has come already."""
        self._only_note = True
        # Exit again: a library may have caught the first SystemExit, as in a callback.
        if self.signal:
            raise SystemExit(self.status)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Run a block during which signals wait, and take effect at its end."""
        # Threads started in the block inherit the mask, so TensorFlow's never take a SIGTERM.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            yield
        finally:
            # Restore our handlers: TensorFlow has installed one for SIGTERM.
            self._listen()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _receive(self, number: int, _: Any) -> None:
        self.signal = number
        # Restore the default: Ctrl-C as a second signal ends the process at once.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for each in self._numbers:
            if each != signal.SIGINT:
                # Ignore a second SIGTERM: both the service manager and our parent process may send
                # one, and it must not interrupt the saving of a checkpoint.
                signal.signal(each, _ignore)
        if not self._only_note:
            raise SystemExit(self.status)


def stop_signals() -> list[signal.Signals]:
    """Return the signals that end a command: SIGNALS, without SIGHUP if `nohup` ignores it."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in SIGNALS if number != signal.SIGHUP or not ignored]


def _ignore(*_: Any) -> None:
    """Do nothing. SIG_IGN would be inherited by child processes; a Python handler is not."""


def parse_time_limit(limit: str) -> float:
    """Parse a time limit to seconds: `90s`, `1h30m`, `1d`, or Slurm's `MM:SS` to `D-HH:MM:SS`."""
    match = _UNITS.fullmatch(limit.strip()) or _CLOCK.fullmatch(limit.strip())
    days, hours, minutes, seconds = (
        (int(part or 0) for part in match.groups()) if match else [0] * 4
    )
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not total:  # The patterns also match an empty text.
        raise UserError(
            "`--time-limit` must be a time such as 90s, 30m, 1h30m, or 1:30:00 as in Slurm. "
            f"Received: {limit}"
        )
    return float(total)
