"""Count the processes of this project that tests start, and the training steps that they trace."""

from __future__ import annotations

import multiprocessing.util
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS = ("pipeline", "savedmodels", "layers", "growgan", "tensorflow", "keras", "dagster", "tests")
"""In the arguments of an interpreter that runs this project or imports TensorFlow."""


@dataclass
class Counts:
    """Processes started and steps traced by this test process so far."""

    processes: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    trace_seconds: float = 0.0


counts = Counts()


def listen() -> None:
    """Count every process that this one starts from now on."""
    sys.addaudithook(_hear)
    spawn = multiprocessing.util.spawnv_passfds  # Which no hook hears of.

    def spawned(path: bytes | str, words: list[bytes | str], descriptors: Any) -> int:
        counts.processes.append(" ".join(map(os.fsdecode, words))[:200])
        return spawn(path, words, descriptors)

    multiprocessing.util.spawnv_passfds = spawned


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        words = [os.fsdecode(word) for word in arguments[1]]
        program = os.fsdecode(arguments[0] or words[0])
        if starts_this_project(program, words[1:]):
            counts.processes.append(" ".join(words[1:])[:200])


def starts_this_project(program: str, arguments: list[str]) -> bool:
    """Tell whether a new interpreter will run this project; the fork server's stand-in is none.

    Example:
        >>> starts_this_project("/usr/bin/python3", ["-m", "pipeline.cli", "train"])
        True
        >>> starts_this_project("/usr/bin/openssl", ["req", "-out", "tests/key"])
        False
    """
    path = Path(program)
    if path.name == "growgan":
        return True
    is_interpreter = path.name.startswith("python") and not (path.parent / "socket").exists()
    return is_interpreter and any(word in each for each in arguments for word in WORDS)


def count_traces() -> None:
    """Count each trace of a part of the training step, as soon as its module is imported."""
    module = sys.modules.get("pipeline.training.synthesis.step")
    if not hasattr(module, "SynthesisStep") or hasattr(module.SynthesisStep, "counted"):
        return
    original = module.SynthesisStep._on_replicas

    def on_replicas(self: Any, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        traced = original(self, function, **options)

        def trace(*arguments: Any) -> Any:
            begun = time.perf_counter()
            try:
                return traced(*arguments)
            finally:
                if not getattr(self, "reused", False):
                    counts.traces.append(function.__name__)
                counts.trace_seconds += time.perf_counter() - begun

        return trace

    module.SynthesisStep._on_replicas = on_replicas
    module.SynthesisStep.counted = True
