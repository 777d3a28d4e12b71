"""Processes that end in order."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.orchestration.dagster import processes
from pipeline.orchestration.dagster.processes import Processes, log_of, start_processes
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


IGNORED = (signal.SIGHUP, signal.SIGINT)
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
        preexec_fn=lambda: signal.signal(
            signal.SIGHUP, signal.SIG_DFL
        ),  # as `start_processes` does
    )
    wait((tmp_path / "trains").exists, "a training")
    Processes(make_project(tmp_path), {"daemon": daemon}).stop()
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "failed").exists()
    assert daemon.returncode is not None


def test_signals_are_heeded_that_nohup_or_a_script_ignores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    program.write_text(
        '#!/bin/sh\ncat /proc/$$/status > "$2.new"; mv "$2.new" "$2"; exec sleep 600\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    project = make_project(tmp_path)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in IGNORED}
    try:
        with start_processes(project, 0) as running:
            files = [project.path / name for name in ("dagster_webserver", "dagster._daemon")]
            wait(lambda: all(file.exists() for file in files), "both")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for file in files:
        status = dict(line.split(":\t") for line in file.read_text().splitlines())
        ignored = int(status["SigIgn"], 16)
        assert not any(ignored >> (number - 1) & 1 for number in IGNORED)
    ends = {process.returncode for process in running.children.values()}
    assert ends == {-signal.SIGTERM}


def test_a_log_that_has_grown_large_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MAX_LOG_BYTES", 3)
    project = make_project(tmp_path)
    project.logs.mkdir()
    for text, kept in (("abc", {"abc"}), ("abcd", {"abcd"}), ("efgh", {"abcd", "efgh"})):
        log_of(project, "daemon").write_text(text)
        assert {log.read_text() for log in project.logs.iterdir()} == kept
    assert (project.logs / "daemon.log.1").read_text() == "abcd"
