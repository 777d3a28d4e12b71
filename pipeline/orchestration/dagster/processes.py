"""Dagster's user interface and daemon as child processes of `growgan pipeline up`."""

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
SAVE_SECONDS = 60.0  # Seconds that a training has to save its checkpoint after SIGTERM.
END_SECONDS = 20.0
"""Seconds that Dagster's processes have to end after SIGTERM, before they are killed."""
NOT_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""Signals whose handling is reset to the default in Dagster's processes, because `nohup` ignores
SIGHUP and a shell ignores SIGINT for a command with `&`. Dagster needs both: it handles SIGTERM as
SIGINT, and by SIGHUP the kernel wakes a suspended run when its parent ends."""
MAX_LOG_BYTES = 16 * 2**20
"""Size above which a log is renamed at the next start, and a new one is begun."""
# Do not rename: Dagster keeps this module's name in cursors and queued runs of projects.
_LOCATION = "pipeline.orchestration.code_location"


@dataclass(frozen=True)
class Processes:
    """Running user interface and daemon of a project."""

    project: Project
    children: dict[str, subprocess.Popen[bytes]]  # Processes by name: `webserver` and `daemon`.

    def find_ended(self) -> str | None:
        """Return the name of a process that has ended, None if all are running."""
        ended = (name for name, process in self.children.items() if process.poll() is not None)
        return next(ended, None)

    def stop(self) -> None:
        """Stop all processes, first trainings, so that they save their checkpoints."""
        descendants = _descendants(self.children.values())
        trainings = [each for each in descendants if _is_training(each)]
        for each in trainings:
            # Suspend the process of the run: if it saw its training end, it would record a failure.
            with suppress(psutil.NoSuchProcess):
                parent = each.parent()
                if parent is not None and parent not in trainings:
                    parent.suspend()
        for each in trainings:
            _signal(each, signal.SIGTERM)
        _wait_for(trainings, SAVE_SECONDS)
        descendants += _descendants(self.children.values())  # Some may have started meanwhile.
        for process in self.children.values():
            process.terminate()
        end = time.monotonic() + END_SECONDS
        for process in self.children.values():
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for each in descendants:  # A run whose processes are killed resumes at the next start.
            _signal(each, signal.SIGKILL)
        _wait_for(descendants, END_SECONDS)


@contextmanager
def start_processes(project: Project, port: int) -> Iterator[Processes]:
    """Start the user interface and the daemon, and stop them when the block or this process ends.

    Only this machine can reach the user interface.

    Raises:
        UserError: if the port is taken.
    """
    _require_free(port)
    project.logs.mkdir(exist_ok=True)
    environment = {**os.environ, **environment_of(project)}
    # Do not use `dagster dev`: it went on running after SIGTERM.
    commands = {
        "webserver": ["dagster_webserver", "-h", HOST, "-p", str(port), "-m", _LOCATION],
        "daemon": ["dagster._daemon", "run", "-m", _LOCATION],
    }
    children: dict[str, subprocess.Popen[bytes]] = {}
    processes = Processes(project, children)
    end_with_parent = die_with_parent(signal.SIGTERM)

    def prepare_child() -> None:
        end_with_parent()
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
                    # Keep Ctrl-C in a terminal from the children: this process stops them in order.
                    process_group=0,
                    preexec_fn=prepare_child,
                )
        yield processes
    finally:
        processes.stop()


def log_of(project: Project, name: str) -> Path:
    """Return the path of a process's log; rename a large log first."""
    log = project.logs / f"{name}.log"
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(project.logs / f"{name}.log.1")
    return log


def _descendants(processes: Iterable[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found += psutil.Process(process.pid).children(recursive=True)
    return found


def _is_training(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return "pipeline.cli" in words and "train" in words


def _is_running(process: psutil.Process) -> bool:
    try:
        # Count a zombie as ended: only its exit status is left, for its parent to read.
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _wait_for(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait until all processes have ended, for at most the given seconds."""
    end = time.monotonic() + seconds
    while any(map(_is_running, processes)) and time.monotonic() < end:
        time.sleep(0.1)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _require_free(port: int) -> None:
    with socket.socket() as listening:
        # Ignore closed connections of the last `up`, which block the port for a minute.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"the port of the user interface must be free. Received: {port}"
            ) from error
