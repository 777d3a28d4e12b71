"""A time limit is kept whatever a step and a checkpoint take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.loop.stopping import EXIT_SECONDS, TimeLimit

NOTHING: Any = None


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.floats(60, 7200), st.floats(0.1, 7), st.floats(0, 15), st.floats(0.1, 5))
def test_the_last_checkpoint_is_written_in_time_and_the_time_is_used(
    limit: float, step: float, compiling: float, save: float
) -> None:
    clock = Clock()
    deadline = TimeLimit(limit, started=clock.now, clock=clock)
    clock.now += 10.0  # before training
    steps = 0
    while not deadline():
        if steps and steps % 50 == 0:
            clock.now += save
            deadline.saved(NOTHING, Path())
        clock.now += step if steps else step + compiling
        steps += 1
    clock.now += save
    left = 1000.0 + limit - clock.now
    assert steps >= 1
    assert left >= EXIT_SECONDS - 1e-6
    # No more is given away than what was to be feared.
    longest_step, longest_save = step + compiling + save, max(save, min(30.0, limit / 10))
    assert left <= 1.5 * (longest_step + longest_save) + EXIT_SECONDS + longest_step


def test_a_slow_checkpoint_is_reckoned_with() -> None:
    clock = Clock()
    deadline = TimeLimit(1000.0, started=clock.now, clock=clock)
    assert not deadline()
    clock.now += 1.0
    assert not deadline()
    clock.now += 200.0
    deadline.saved(NOTHING, Path())
    clock.now = 1000.0 + 1000.0 - 1.5 * (1 + 200) - EXIT_SECONDS - 200
    assert deadline()


def test_a_limit_that_has_passed_already_leaves_time_for_nothing() -> None:
    clock = Clock()
    deadline = TimeLimit(5.0, started=clock.now - 10, clock=clock)
    assert deadline()
