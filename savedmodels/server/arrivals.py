"""Limit on requests whose message is still arriving, so that slow clients do not block others."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Arrivals:
    """Registry of arriving messages that drops the oldest when they are too many or too large.

    Args:
        max_requests: Maximum number of requests that may wait for their message at once.
        max_bytes: Maximum size in bytes of what has arrived of all these messages together.
    """

    def __init__(self, max_requests: int, max_bytes: float = float("inf")) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._waiting: OrderedDict[object, Callable[[], object]] = OrderedDict()
        self._bytes: dict[object, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def track(self, drop: Callable[[], object]) -> Iterator[Callable[[int], None]]:
        """Register a request until the block ends; yield a function to report arrived bytes with.

        Args:
            drop: Called if this request must make way for others, even just after the block.
        """
        key = object()
        with self._lock:
            self._waiting[key], self._bytes[key] = drop, 0
        self._enforce_limits()

        def report(count: int) -> None:
            with self._lock:
                if key in self._bytes:  # A dropped request may still report bytes.
                    self._bytes[key] += count
            self._enforce_limits()

        try:
            yield report
        finally:
            with self._lock:
                self._waiting.pop(key, None)
                self._bytes.pop(key, None)

    def _enforce_limits(self) -> None:
        while True:
            with self._lock:
                count, size = len(self._waiting), sum(self._bytes.values())
                # Never drop the only request: the servers limit the size of a single message.
                if count < 2 or (count <= self._max_requests and size <= self._max_bytes):
                    return
                # Drop the oldest, which is likely stuck: honest clients need only moments.
                key, drop = self._waiting.popitem(last=False)
                del self._bytes[key]
            drop()  # Outside the lock, which the end of the dropped request's block takes too.
