"""One process of the session whose Keras computes on JAX."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.orchestration.parent_process import die_with_parent

ROOT = Path(__file__).parents[2]
SHARED_FIXTURES = ("jax_process",)
ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_backend_optimization_level=0",  # Nearly all of the time is compiling.
}


@pytest.fixture(scope="session")
def jax_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], None]]:
    """Call `main(folder)` of a module in a process on JAX: `jax_process(module, folder)`.

    Keras fixes its backend when it is imported: hence another process, and one for all tests.
    """
    log = tmp_path_factory.mktemp("jax") / "log.txt"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.jax_process.process"],
            cwd=ROOT,
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
    assert process.stdin is not None
    assert process.stdout is not None
    requests, answers = process.stdin, process.stdout

    def ask(module: str, folder: Path) -> None:
        print(json.dumps([module, str(folder)]), file=requests, flush=True)
        answer = answers.readline()
        assert answer, log.read_text()
        error = json.loads(answer)
        assert error is None, error

    try:
        yield ask
    finally:
        process.kill()
        process.communicate()
