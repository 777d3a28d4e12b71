"""Systems in processes of their own that take turns, so that a machine's moods meet all of them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

TURNS = 5
SECONDS_A_TURN = 1.0

Step = Callable[[], Any]


class Process:
    """A system in a process of its own.

    Args:
        script: Which answers `--worker SYSTEM` by `serve`.
        system: Its name there.
    """

    def __init__(self, script: str, system: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, script, "--worker", system],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def seconds(self, *what: Any) -> float:
        """The median step of one turn."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)
        return float(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate()


def serve(make: Callable[..., Step]) -> None:
    """Answer each line, the arguments of `make`, with the median seconds of a step made of them."""
    step: Step | None = None
    current: list[Any] = []
    for line in sys.stdin:
        request = json.loads(line)
        if request != current:
            step, current = make(*request), request
            step()
            step()
        assert step is not None
        times: list[float] = []
        while sum(times) < SECONDS_A_TURN:
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        print(json.dumps(statistics.median(times)), flush=True)


def turns_of(
    processes: dict[str, Process], *what: Any, turns: int = TURNS
) -> list[dict[str, float]]:
    """Seconds of each system's step, turn by turn."""
    return [
        {name: process.seconds(*what) for name, process in processes.items()} for _ in range(turns)
    ]


def median(turns: Sequence[dict[str, float]], system: str) -> float:
    """Seconds of a system's step."""
    return statistics.median(turn[system] for turn in turns)


def ratio(turns: Sequence[dict[str, float]], slow: str, fast: str) -> float:
    """How many times as long one system takes as another, the median of the turns."""
    return statistics.median(turn[slow] / turn[fast] for turn in turns)


def processor() -> str:
    """The machine in words."""
    try:
        with open("/proc/cpuinfo") as lines:
            name = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name}, {os.cpu_count()} cores"
