"""Ctrl-C, SIGTERM, the time limit, alarms: how a run is told to stop, and its exit status."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import UserError

ALARM_STATUS = 3
"""An alarm has stopped the run."""
FILE_STATUS = 74
"""`EX_IOERR` of sysexits.h: a file cannot be read or written now."""
TIME_LIMIT_STATUS = 75
"""`EX_TEMPFAIL` of sysexits.h: come again."""
WORKER_GONE_STATUS = 69
"""`EX_UNAVAILABLE` of sysexits.h: another worker of the run has ended."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_UNITS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


class Interruption:
    """True once Ctrl-C or SIGTERM has come.

    The first signal ends the process, cleanly, until `only_note` is called; from then on it is
    noted. Ctrl-C as the second always has its usual effect. SIGTERM as the second has none: who
    stops a service tells all of its processes, and each of them tells those that it has started.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._only_note = False
        for number in SIGNALS:
            signal.signal(number, self._receive)

    @property
    def status(self) -> int:
        """The exit status of a process that this signal has ended."""
        return 128 + self.signal

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
            for number in SIGNALS:
                signal.signal(number, self._receive)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _receive(self, number: int, _: Any) -> None:
        self.signal = number
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, _heed_no_more)
        if not self._only_note:
            raise SystemExit(self.status)

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return bool(self.signal)


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
