"""Run commands of `growgan` in processes of their own, and turn exit statuses into failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from pipeline import exit_status
from pipeline.orchestration.parent_process import die_with_parent
from pipeline.orchestration.runs.failure import StepFailed
from pipeline.orchestration.runs.outcome import Ending

GRACE = 60.0
"""Seconds that a stopped command has to save its work before it is killed."""

Log = Callable[[str], None]
"""Logger of a line of progress."""


def growgan(arguments: Sequence[str], *, folder: Path, log_file: Path, log: Log) -> str:
    """Run `growgan …` in a folder to its end, and return its standard output.

    Each line of that is logged, and both outputs are appended to a file.

    Raises:
        StepFailed: if the exit status is not 0.
    """
    # A process of its own, as only its end frees the memory of TensorFlow.
    log_file.parent.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    with log_file.open("a") as kept, TemporaryFile("w+", errors="replace") as errors:
        print(f"$ growgan {' '.join(arguments)}", file=kept, flush=True)
        # Errors go to a file: a pipe that nobody reads meanwhile would fill up and block.
        with child(arguments, folder, stdout=subprocess.PIPE, stderr=errors) as process:
            assert process.stdout is not None
            for line in process.stdout:
                kept.write(line)
                kept.flush()
                written.append(line)
                log(line.rstrip())
            status = process.wait()
        errors.seek(0)
        error_text = errors.read()
        kept.write(error_text)
    if status:
        # `pipeline job … -- train` runs another command: the reason names that one.
        name = arguments[arguments.index("--") + 1] if "--" in arguments else arguments[0]
        raise _failed(name, status, error_text)
    return "".join(written)


@contextmanager
def child(
    arguments: Sequence[str],
    folder: Path,
    *,
    stdout: int | None = None,
    stderr: IO[str] | int | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start `growgan …` for a block; it ends with this process too, even if that is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        errors="replace",  # A byte that is no text must not end the command.
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Ctrl-C in a terminal is for this process, which passes it on.
        process_group=0,
        preexec_fn=die_with_parent(signal.SIGKILL),  # A killed step leaves no writer behind.
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def reason_in(error_text: str) -> str | None:
    """Return the line of a command's errors that names the reason, None if there is no line."""
    lines = [line for line in error_text.splitlines() if line.strip()]
    own = [line.removeprefix("growgan: ") for line in lines if line.startswith("growgan: ")]
    # A library may write after our line, so ours goes first.
    return next(reversed(own or lines), None)


def _failed(command: str, status: int, error_text: str) -> StepFailed:
    reason = reason_in(error_text) or "it gave no reason"
    match status:
        case exit_status.USER | exit_status.VERIFY:
            return StepFailed(reason, status=status)
        case exit_status.ALARM:
            return StepFailed(reason, ending="alarm", status=status)
        case exit_status.GATE:
            return StepFailed(reason, ending="gate failed", status=status)
    ending: Ending = "failed"
    # All others may pass, as a full disk or a kill.
    if status in exit_status.STOPPED:
        ending, reason = "interrupted", f"growgan {command} was stopped"
    elif status < 0:
        reason = f"growgan {command} was ended by {signal.Signals(-status).name}"
    elif status != exit_status.FILE:
        reason = f"growgan {command} ended with status {status}: {reason}"
    return StepFailed(reason, ending=ending, status=exit_status.AGAIN, may_pass=True)
