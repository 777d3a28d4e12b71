"""Start Dagster's user interface and daemon as child processes, and stop them in order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.errors import UserError
from pipeline.orchestration.dagster.instance import environment_of
from pipeline.orchestration.parent_process import die_with_parent
from pipeline.orchestration.project import Project

HOST = "127.0.0.1"
TO_SAVE = 60.0
"""Seconds that a training has to save its checkpoint."""
TO_END = 20.0
"""Seconds that Dagster's processes have to end by themselves."""
NOT_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""Signals that are reset to their defaults for Dagster's processes: nohup ignores SIGHUP, and a
shell the SIGINT of what it starts by `&`. Dagster handles SIGTERM as it handles SIGINT, and the
kernel wakes a suspended run by SIGHUP when its parent ends."""
LARGEST_LOG = 16 * 2**20
"""Bytes of a log, above which a new one is begun."""
# Dagster names the code location by this module, in the cursors of triggers and in queued runs of
# every project, so it must not change.
_LOCATION = "pipeline.orchestration.code_location"


@dataclass(frozen=True)
class Processes:
    """User interface and daemon of a project, running."""

    project: Project
    children: dict[str, subprocess.Popen[bytes]]

    def ended(self) -> str | None:
        """Return the name of a process that has ended, None if all live."""
        ended = (name for name, process in self.children.items() if process.poll() is not None)
        return next(ended, None)

    def stop(self) -> None:
        """Stop all processes: trainings first, so that they save their checkpoints."""
        below = _below(self.children.values())
        trainings = [each for each in below if _trains(each)]
        for each in trainings:
            # The process of the run must not see its training end: it would record a failed step.
            with suppress(psutil.NoSuchProcess):
                parent = each.parent()
                if parent is not None and parent not in trainings:
                    parent.suspend()
        for each in trainings:
            _signal(each, signal.SIGTERM)
        _wait_for(trainings, TO_SAVE)
        below += _below(self.children.values())  # Some may have been started meanwhile.
        for process in self.children.values():
            process.terminate()
        end = time.monotonic() + TO_END
        for process in self.children.values():
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for each in below:  # A run whose processes are killed goes on at the next start.
            _signal(each, signal.SIGKILL)
        _wait_for(below, TO_END)


@contextmanager
def started(project: Project, port: int) -> Iterator[Processes]:
    """Start both for this machine alone, and stop them when the block or this process ends.

    Raises:
        UserError: if the port is taken.
    """
    _require_free(port)
    project.logs.mkdir(exist_ok=True)
    environment = {**os.environ, **environment_of(project)}
    # Not `dagster dev`, which has outlived SIGTERM.
    commands = {
        "webserver": ["dagster_webserver", "-h", HOST, "-p", str(port), "-m", _LOCATION],
        "daemon": ["dagster._daemon", "run", "-m", _LOCATION],
    }
    children: dict[str, subprocess.Popen[bytes]] = {}
    processes = Processes(project, children)
    ask_to_end = die_with_parent(signal.SIGTERM)

    def heeding() -> None:
        ask_to_end()
        for number in NOT_IGNORED:
            signal.signal(number, signal.SIG_DFL)

    try:
        for name, words in commands.items():
            with log_of(project, name).open("ab") as log:
                children[name] = subprocess.Popen(
                    [sys.executable, "-m", *words],
                    cwd=project.path,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C in a terminal is for this process, which ends them in order.
                    process_group=0,
                    preexec_fn=heeding,
                )
        yield processes
    finally:
        processes.stop()


def log_of(project: Project, name: str) -> Path:
    """Return the log file of a process; rename a large one first."""
    log = project.logs / f"{name}.log"
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(project.logs / f"{name}.log.1")
    return log


def _below(processes: Iterable[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found += psutil.Process(process.pid).children(recursive=True)
    return found


def _trains(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return "pipeline.cli" in words and "train" in words


def _lives(process: psutil.Process) -> bool:
    try:
        # A zombie has ended; its parent has not read its status yet.
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _wait_for(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait until all have ended, for at most the given seconds."""
    end = time.monotonic() + seconds
    while any(map(_lives, processes)) and time.monotonic() < end:
        time.sleep(0.1)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _require_free(port: int) -> None:
    with socket.socket() as listening:
        # Connections that the last `up` has closed would keep the port taken for a minute.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"the port of the user interface must be free. Received: {port}"
            ) from error
