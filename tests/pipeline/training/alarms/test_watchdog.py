"""The watchdog speaks once, while the loop still waits, and not before."""

from __future__ import annotations

import threading
import time

from pipeline.config import AlarmsConfig
from pipeline.training.alarms.watchdog import Watchdog


def test_it_speaks_once_for_each_wait_that_is_too_long_and_while_it_lasts() -> None:
    said: list[tuple[float, bool, bool]] = []
    spoken = threading.Event()
    waiting = False
    before = set(threading.enumerate())

    def bark(seconds: float, *, stop: bool) -> None:
        said.append((seconds, stop, waiting))
        spoken.set()

    settings = AlarmsConfig(starvation="stop", starvation_seconds=0.2)
    with Watchdog(settings, bark) as watchdog:
        for _ in range(50):
            with watchdog.waiting():
                time.sleep(0.005)
        assert said == []
        for count in (1, 2):
            spoken.clear()
            with watchdog.waiting():
                waiting = True
                assert spoken.wait(10.0)
                time.sleep(0.1)
                waiting = False
            assert len(said) == count
    assert all(seconds > 0.2 and stop and during for seconds, stop, during in said)
    assert set(threading.enumerate()) <= before


def test_it_sleeps_where_nobody_asks_for_it() -> None:
    before = set(threading.enumerate())
    with Watchdog(AlarmsConfig(starvation="ignore", starvation_seconds=0.1), print):
        assert set(threading.enumerate()) <= before
