"""Stopwatch of a run: training time, throughput, and time spent waiting for data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Stopwatch for wall time that starts at `seconds`; trained weights never depend on it."""

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
        """Count a step on `images` images."""
        # The first step of a phase is slow, because it compiles: measure the rate after it.
        if self._started is None:
            self.restart_rate()
        else:
            self._images += images

    def stop_rate(self) -> None:
        """Stop measuring the rate until the next step, which compiles, is done."""
        self._started, self._images = None, 0

    def restart_rate(self) -> None:
        """Measure the rate and the waits from now on."""
        self._started, self._images, self._pauses = time.monotonic(), 0, 0.0
        self._waits = self._longest_wait = 0.0

    def rate(self) -> float:
        """Images per second since the rate was restarted, without pauses; 0 if unknown."""
        return self._images / self._seconds_of_steps() if self._images else 0.0

    def data_wait(self) -> float:
        """Share of the time of steps, since the rate was restarted, spent waiting for data."""
        return self._waits / self._seconds_of_steps() if self._images else 0.0

    def longest_wait(self) -> float:
        """Longest wait for data since the rate was restarted, in seconds."""
        return self._longest_wait

    def _seconds_of_steps(self) -> float:
        assert self._started is not None
        return (self._pause or time.monotonic()) - self._started - self._pauses

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time of a `with` block from the rate."""
        self._pause = time.monotonic()
        yield
        # If the block restarted the rate, count only the time since then as a pause.
        self._pauses += time.monotonic() - max(self._pause, self._started or 0.0)
        self._pause = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of a `with` block as waiting for data."""
        start = time.monotonic()
        yield
        waited = time.monotonic() - start
        self._waits += waited
        self._longest_wait = max(self._longest_wait, waited)
