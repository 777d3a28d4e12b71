"""Watchdog thread that reports when the training loop waits too long for a batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from pipeline.config import AlarmsConfig

LOOKS = 10  # Number of checks within the longest allowed wait.
LONGEST_PAUSE = 1.0  # Maximum seconds between two checks.


class Watchdog:
    """Watchdog that calls `bark(seconds, stop=…)` once for each wait that is too long.

    Its thread runs inside a `with` block of the watchdog; `waiting` marks the waits.
    """

    def __init__(self, settings: AlarmsConfig, bark: Callable[..., None]) -> None:
        self._settings = settings
        self._bark = bark
        self._since: float | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watchdog:
        if self._settings.starvation != "ignore":
            self._ended.clear()
            # Use a thread: the loop waits inside TensorFlow, where no signal reaches it.
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._ended.set()
            self._thread.join()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark the block in which the loop waits for a batch."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def _look(self) -> None:
        limit = self._settings.starvation_seconds
        reported: float | None = None
        while not self._ended.wait(min(LONGEST_PAUSE, limit / LOOKS)):
            # Identify a wait by its start, to report each only once.
            since = self._since
            if since is not None and since != reported and time.monotonic() - since > limit:
                reported = since
                self._bark(time.monotonic() - since, stop=self._settings.starvation == "stop")
