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
    """True once Ctrl-C, SIGTERM or SIGHUP has come; `nohup` keeps SIGHUP from coming.

    The first signal ends the process, cleanly, until `only_note` is called; from then on it is
    noted. Ctrl-C as the second always has its usual effect. Others as the second have none: who
    stops a service tells all of its processes, and each of them tells those that it has started.
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
        """The exit status of a process that this signal has ended."""
        return exit_status.of_signal(self.signal)

    def only_note(self) -> None:
        """From now on somebody asks whether a signal has come.

        Raises:
            SystemExit: if one has come already.
        """
        self._only_note = True
        if self.signal:  # Where its exception was lost, as in a callback of a library.
            raise SystemExit(self.status)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block at whose end signals take effect that have come in the meantime.

        While workers come together TensorFlow takes SIGTERM for itself, to no effect. Here all its
        threads start with signals blocked, so that none of them gets one.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            yield
        finally:
            self._listen()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _receive(self, number: int, _: Any) -> None:
        self.signal = number
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for each in self._numbers:
            if each != signal.SIGINT:
                signal.signal(each, _heed_no_more)
        if not self._only_note:
            raise SystemExit(self.status)

    def __call__(self) -> bool:
        """Return whether a signal has come."""
        return bool(self.signal)


def heeded_signals() -> list[signal.Signals]:
    """Return the signals that end a command: not SIGHUP where `nohup` has it ignored."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in SIGNALS if number != signal.SIGHUP or not ignored]


def _heed_no_more(*_: Any) -> None:
    """A handler, as programs that are started from now on would ignore what is only ignored."""


def seconds_of(limit: str) -> float:
    """The seconds of `90s`, `30m`, `2h`, `1h30m` or `1d`, or of Slurm's `MM:SS` to `D-HH:MM:SS`.

    Raises:
        UserError: if it is none of these, or nothing.
    """
    match = _UNITS.fullmatch(limit.strip()) or _CLOCK.fullmatch(limit.strip())
    days, hours, minutes, seconds = (
        (int(part or 0) for part in match.groups()) if match else [0] * 4
    )
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not total:
        raise UserError(
            "`--time-limit` must be a time such as 90s, 30m, 1h30m, or 1:30:00 as in Slurm. "
            f"Received: {limit}"
        )
    return float(total)
