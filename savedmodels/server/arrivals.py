"""Requests whose message is still coming: they hold no place, and make way for each other."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Arrivals:
    """Of those that wait too many or hold too much, the oldest is given up for a new one.

    Who sends what it has is there in a moment; who holds places by sending nothing, or by drops,
    soon is the oldest.

    Args:
        most: That may wait at once.
        most_bytes: That all may hold together.
    """

    def __init__(self, most: int, most_bytes: float = float("inf")) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: OrderedDict[object, Callable[[], object]] = OrderedDict()
        self._bytes: dict[object, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def coming(self, give_up: Callable[[], object]) -> Iterator[Callable[[int], None]]:
        """A block in which a message comes; it is given how many more bytes have.

        Args:
            give_up: Ends the block, if this is to make way for another; it may be called late.
        """
        key = object()
        with self._lock:
            self._waiting[key], self._bytes[key] = give_up, 0
        self._make_way()

        def came(count: int) -> None:
            with self._lock:
                if key in self._bytes:
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
                if len(self._waiting) < 2 or (len(self._waiting) <= self._most and not full):
                    return
                key, give_up = self._waiting.popitem(last=False)
                del self._bytes[key]
            give_up()
