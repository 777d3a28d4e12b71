"""Stopwatch of a run: training time, throughput, and time spent waiting for data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Stopwatch for wall time, from `seconds` on; training itself never depends on it."""

    def __init__(self, seconds: float) -> None:
        self._origin = time.monotonic() - seconds
        self._started: float | None = None
        self._pause: float | None = None
        self._pauses = 0.0
        self._waits = 0.0
        self._longest_wait = 0.0
        self._images = 0

    def seconds(self) -> float:
        """Seconds of training so far, over all restarts."""
        return time.monotonic() - self._origin

    def tick(self, images: int) -> None:
        """Count a step on a number of images."""
        # The first step of a phase compiles, so the rate starts after it.
        if self._started is None:
            self.restart_rate()
        else:
            self._images += images

    def stop_rate(self) -> None:
        """Stop the rate; it starts again after the next step, which traces and compiles."""
        self._started, self._images = None, 0

    def restart_rate(self) -> None:
        """Restart the rate and the waits."""
        self._started, self._images, self._pauses = time.monotonic(), 0, 0.0
        self._waits = self._longest_wait = 0.0

    def rate(self) -> float:
        """Images per second since the rate started, without pauses; 0 if unknown."""
        return self._images / self._seconds_of_steps() if self._images else 0.0

    def data_wait(self) -> float:
        """Share of the time since the rate started that was spent waiting for data."""
        return self._waits / self._seconds_of_steps() if self._images else 0.0

    def longest_wait(self) -> float:
        """Longest wait for data since the rate started, in seconds."""
        return self._longest_wait

    def _seconds_of_steps(self) -> float:
        assert self._started is not None
        return (self._pause or time.monotonic()) - self._started - self._pauses

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude a block from the rate."""
        self._pause = time.monotonic()
        yield
        # If the rate was restarted in between, only the time since then is a pause.
        self._pauses += time.monotonic() - max(self._pause, self._started or 0.0)
        self._pause = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count a block as waiting for data."""
        start = time.monotonic()
        yield
        waited = time.monotonic() - start
        self._waits += waited
        self._longest_wait = max(self._longest_wait, waited)
