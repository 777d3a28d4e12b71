"""Processes that end in order."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.orchestration import processes
from pipeline.orchestration.processes import Processes, log_of
from tests.pipeline.orchestration.projects import make_project, wait

TRAINING = """
import signal, sys, time
def save(*_):
    time.sleep(0.3)
    open("saved", "w").close()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
open("trains", "w").close()
time.sleep(600)
"""
RUN = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1], "pipeline.cli", "train"])
open("failed", "w").close()
"""
DAEMON = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1], sys.argv[2]])
"""


SUBREAPER = 36
"""Option of `prctl` that makes a process the parent of orphans below it."""


@pytest.fixture
def reaping() -> Iterator[None]:
    """Make this process the parent of orphans below it, so that their ends can be waited for.

    In a container nobody else may do so, and they would stay as zombies.
    """
    libc = ctypes.CDLL(None)
    assert libc.prctl(SUBREAPER, 1) == 0
    try:
        yield
    finally:
        libc.prctl(SUBREAPER, 0)


@pytest.mark.new_interpreter
@pytest.mark.usefixtures("reaping")
def test_a_training_saves_and_its_run_does_not_see_it_end(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DAEMON, RUN, TRAINING]
    daemon = subprocess.Popen(
        command,
        cwd=tmp_path,
        process_group=0,
        # Under nohup hangups are ignored, and the kernel wakes a suspended run with one.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    wait((tmp_path / "trains").exists, "a training")
    Processes(make_project(tmp_path), {"daemon": daemon}).stop()
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "failed").exists()
    assert daemon.returncode is not None


def test_a_log_that_has_grown_large_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LARGEST_LOG", 3)
    project = make_project(tmp_path)
    project.logs.mkdir()
    for text, kept in (("abc", {"abc"}), ("abcd", {"abcd"}), ("efgh", {"abcd", "efgh"})):
        log_of(project, "daemon").write_text(text)
        assert {log.read_text() for log in project.logs.iterdir()} == kept
    assert (project.logs / "daemon.log.1").read_text() == "abcd"
