"""Fail quick tests that are slow by nature: that start this project anew, or trace a step.

A new interpreter imports TensorFlow for five to ten seconds, and to trace a training step takes one
to eight. Quick tests have both from session fixtures, which make them once: programs are forks
(`forked`), and traced steps are used again (`models_and_step` and `Trainer` in the tests of
training). A test of what a new interpreter imports
is marked `new_interpreter`, and one that has to look at a trace as it is made, `new_trace`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.counting import count_traces, counts

PROCESS = (
    "a quick test starts no interpreter for this project: use the fixture `forked`, or call the "
    "command in this process, or mark the test slow. Started: {}"
)
TRACE = (
    "a quick test traces no training step of its own: use `models_and_step` of "
    "tests/pipeline/training/steps.py, or mark the test slow. Traced: {}"
)


class Guard:
    """Hold every quick test to the rule. Session fixtures may do both."""

    def __init__(self) -> None:
        self._begin = (0, 0)
        self._excused: tuple[set[int], set[int]] = set(), set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, Any]:
        self._begin = _numbers()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        begin = _numbers()
        try:
            return (yield)
        finally:
            if fixturedef.scope == "session":
                for excused, first, last in zip(self._excused, begin, _numbers(), strict=True):
                    excused.update(range(first, last))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        result = yield
        if item.get_closest_marker("slow") is None:
            for rule, marker, made, excused, first in zip(
                (PROCESS, TRACE),
                ("new_interpreter", "new_trace"),
                (counts.processes, counts.traces),
                self._excused,
                self._begin,
                strict=True,
            ):
                own = [each for k, each in enumerate(made) if k >= first and k not in excused]
                if own and item.get_closest_marker(marker) is None:
                    pytest.fail(rule.format("; ".join(own)), pytrace=False)
        return result


def _numbers() -> tuple[int, int]:
    count_traces()
    return len(counts.processes), len(counts.traces)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Guard(), "guard")
