"""Stopwatch of a run: time trained, throughput, and the share of time spent waiting for data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Measures wall time; nothing that is trained follows from it.

    Args:
        seconds: Time spent training before this start.
    """

    def __init__(self, seconds: float) -> None:
        self._origin = time.monotonic() - seconds
        self._started: float | None = None
        self._pause: float | None = None
        self._pauses = 0.0
        self._waits = 0.0
        self._longest_wait = 0.0
        self._images = 0

    def seconds(self) -> float:
        """Return the seconds of training so far, over all restarts."""
        return time.monotonic() - self._origin

    def tick(self, images: int) -> None:
        """Count a step on a number of images."""
        if self._started is None:
            self.restart_rate()
        else:
            self._images += images

    def stop_rate(self) -> None:
        """The next step traces and compiles, and does not count."""
        self._started, self._images = None, 0

    def restart_rate(self) -> None:
        """The rate and the waits count from now on."""
        self._started, self._images, self._pauses = time.monotonic(), 0, 0.0
        self._waits = self._longest_wait = 0.0

    def rate(self) -> float:
        """Images per second since the rate was started, apart from pauses."""
        return self._images / self._seconds_of_steps() if self._images else 0.0

    def data_wait(self) -> float:
        """The share of that time that was spent waiting."""
        return self._waits / self._seconds_of_steps() if self._images else 0.0

    def longest_wait(self) -> float:
        """Seconds of the longest of those waits."""
        return self._longest_wait

    def _seconds_of_steps(self) -> float:
        assert self._started is not None
        return (self._pause or time.monotonic()) - self._started - self._pauses

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A block that does not count in the rate."""
        self._pause = time.monotonic()
        yield
        # A rate that was started anew in between counts from then on.
        self._pauses += time.monotonic() - max(self._pause, self._started or 0.0)
        self._pause = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A block that waits for data."""
        start = time.monotonic()
        yield
        waited = time.monotonic() - start
        self._waits += waited
        self._longest_wait = max(self._longest_wait, waited)
