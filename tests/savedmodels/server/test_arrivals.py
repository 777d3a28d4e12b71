"""Requests that wait for their messages: which of them make way for others."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from savedmodels.server.arrivals import Arrivals


class Waiting:
    """Requests by their numbers, and which of them were given up."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.given_up: list[int] = []
        self._arrivals = arrivals
        self._stack = ExitStack()
        self.came = [self._stack.enter_context(self._next(number)) for number in range(3)]

    def _next(self, number: int):
        return self._arrivals.track(lambda: self.given_up.append(number))

    def add(self) -> None:
        number = len(self.came)
        self.came.append(self._stack.enter_context(self._next(number)))

    def end(self) -> None:
        self._stack.close()


def test_the_oldest_makes_way_for_a_new_one() -> None:
    waiting = Waiting(Arrivals(3))
    assert waiting.given_up == []
    waiting.add()
    waiting.add()
    assert waiting.given_up == [0, 1]
    waiting.end()
    assert waiting.given_up == [0, 1]


def test_who_is_done_has_to_make_way_for_nobody() -> None:
    arrivals = Arrivals(3)
    Waiting(arrivals).end()
    waiting = Waiting(arrivals)
    assert waiting.given_up == []


def test_the_oldest_makes_way_where_all_hold_too_much() -> None:
    waiting = Waiting(Arrivals(3, max_bytes=100))
    waiting.came[1](60)
    waiting.came[2](40)
    assert waiting.given_up == []
    waiting.came[2](1)
    assert waiting.given_up == [0, 1]
    waiting.came[0](1000)  # It is given up, and counts no more.
    assert waiting.given_up == [0, 1]


def test_one_alone_makes_way_for_nobody() -> None:
    given_up: list[int] = []
    with Arrivals(1, max_bytes=10).track(lambda: given_up.append(0)) as came:
        came(1000)
    assert given_up == []


def test_an_error_of_the_block_is_passed_on_and_frees_its_place() -> None:
    arrivals = Arrivals(1)
    given_up: list[int] = []
    with pytest.raises(OSError, match="so"), arrivals.track(lambda: given_up.append(0)):
        raise OSError("so")
    with arrivals.track(lambda: given_up.append(1)):
        assert given_up == []
