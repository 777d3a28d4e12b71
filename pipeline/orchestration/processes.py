"""Dagster's user interface and daemon as processes of this one, for as long as it lives."""

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
from pipeline.orchestration.instance import environment_of
from pipeline.orchestration.parent_process import die_with_parent
from pipeline.orchestration.project import Project

HOST = "127.0.0.1"
TO_SAVE = 60.0
"""Seconds that a training has for its checkpoint."""
TO_END = 20.0
"""Seconds that Dagster's processes have to end by themselves."""
NOT_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""Signals that Dagster's processes heed, although nohup ignores SIGHUP, and a script the SIGINT of
what it starts by `&`: Dagster takes SIGTERM as SIGINT is taken, and when the parent of a suspended
run ends, the kernel sends the run SIGHUP and wakes it."""
LARGEST_LOG = 16 * 2**20
"""Bytes of a log to which more is written."""
_LOCATION = "pipeline.orchestration.code_location"


@dataclass(frozen=True)
class Processes:
    """The user interface and the daemon."""

    project: Project
    children: dict[str, subprocess.Popen[bytes]]

    def ended(self) -> str | None:
        """The name of one that has ended, None if all live."""
        for name, process in self.children.items():
            if process.poll() is not None:
                return name
        return None

    def stop(self) -> None:
        """End all: a training first saves its checkpoint.

        What still lives then is killed. A run whose processes are killed goes on when they are
        started again. So the process of a run must not see its training end: for it that would be
        a step that has failed.
        """
        below = _below(self.children.values())
        trainings = [each for each in below if _trains(each)]
        for each in trainings:
            with suppress(psutil.NoSuchProcess):
                parent = each.parent()
                if parent is not None and parent not in trainings:
                    parent.suspend()
        for each in trainings:
            _signal(each, signal.SIGTERM)
        _wait_for(trainings, TO_SAVE)
        below += _below(self.children.values())
        for process in self.children.values():
            process.terminate()
        end = time.monotonic() + TO_END
        for process in self.children.values():
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for each in below:
            _signal(each, signal.SIGKILL)
        _wait_for(below, TO_END)


@contextmanager
def started(project: Project, port: int) -> Iterator[Processes]:
    """Start both on this machine alone, and stop them when the block ends.

    They end with this process too if it is killed.

    Raises:
        UserError: if the port is taken.
    """
    _require_free(port)
    project.logs.mkdir(exist_ok=True)
    environment = {**os.environ, **environment_of(project)}
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
    """Return the log file of one of them; one that has grown large is set aside first."""
    log = project.logs / f"{name}.log"
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(project.logs / f"{name}.log.1")
    return log


def _below(processes: Iterable[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in processes:
        try:
            found += psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            continue
    return found


def _trains(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return "pipeline.cli" in words and "train" in words


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)  # Which its parent has not asked of.
    except psutil.NoSuchProcess:
        return False


def _wait_for(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Return when all have ended, or after so many seconds."""
    end = time.monotonic() + seconds
    while any(map(_lives, processes)) and time.monotonic() < end:
        time.sleep(0.1)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _require_free(port: int) -> None:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"the port of the user interface must be free. Received: {port}"
            ) from error
