"""Limit on requests whose message is still arriving; the oldest is dropped for a new one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Arrivals:
    """Registry of arriving messages that drops the oldest when there are too many or too much.

    Args:
        most: Most requests that may wait for their message at once.
        most_bytes: Most bytes that all arriving messages may hold together.
    """

    def __init__(self, most: int, most_bytes: float = float("inf")) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: OrderedDict[object, Callable[[], object]] = OrderedDict()
        self._bytes: dict[object, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def coming(self, give_up: Callable[[], object]) -> Iterator[Callable[[int], None]]:
        """Register a request while its message arrives; report bytes by the yielded function.

        Args:
            give_up: Called to drop the request; may be called after the block has ended.
        """
        key = object()
        with self._lock:
            self._waiting[key], self._bytes[key] = give_up, 0
        self._make_way()

        def came(count: int) -> None:
            with self._lock:
                if key in self._bytes:  # Otherwise it was dropped, and does not know yet.
                    self._bytes[key] += count
            self._make_way()

        try:
            yield came
        finally:
            with self._lock:
                self._waiting.pop(key, None)
                self._bytes.pop(key, None)

    def _make_way(self) -> None:
        while True:
            with self._lock:
                full = sum(self._bytes.values()) > self._most_bytes
                # The only one stays, however large: limits of its own hold for it.
                if len(self._waiting) < 2 or (len(self._waiting) <= self._most and not full):
                    return
                # The oldest is likely stuck: honest clients send their message within moments.
                key, give_up = self._waiting.popitem(last=False)
                del self._bytes[key]
            give_up()  # Outside the lock, which `came` and the end of the block take too.
