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

GRACE = 60.0
"""Seconds that a stopped command has to save its work, before it is killed."""

Log = Callable[[str], None]
"""Logs a line of progress."""


def growgan(
    arguments: Sequence[str],
    *,
    folder: Path,
    log_file: Path,
    log: Log,
) -> str:
    """Run `growgan …` to its end, and return its standard output.

    TensorFlow and its memory stay in that process. It ends with this one, so a step whose process
    is killed leaves no writer behind.

    Args:
        arguments: Arguments of the command line.
        folder: Working folder.
        log_file: File to which both its outputs are appended.
        log: Called with each line of its standard output.

    Raises:
        StepFailed: if it ends with another status than 0.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    with log_file.open("a") as kept, TemporaryFile("w+", errors="replace") as errors:
        print(f"$ growgan {' '.join(arguments)}", file=kept, flush=True)
        with child(
            arguments,
            folder,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process:
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
    """Start `growgan …`; it ends with the block, and with this process even if that is killed."""
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
        preexec_fn=die_with_parent(signal.SIGKILL),
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


def _failed(command: str, status: int, error_text: str) -> StepFailed:
    lines = [line for line in error_text.splitlines() if line.strip()]
    own = [line.removeprefix("growgan: ") for line in lines if line.startswith("growgan: ")]
    # A library may write after our line, so ours goes first.
    reason = own[-1] if own else (lines[-1] if lines else "it said nothing")
    match status:
        case exit_status.USER:
            return StepFailed(reason, status=exit_status.USER)
        case exit_status.ALARM:
            return StepFailed(reason, ending="alarm", status=exit_status.ALARM)
        case exit_status.GATE:
            return StepFailed(reason, ending="gate failed", status=exit_status.GATE)
        case exit_status.VERIFY:
            return StepFailed(reason, status=exit_status.VERIFY)
        case exit_status.FILE:
            return StepFailed(reason, status=exit_status.AGAIN, may_pass=True)
        case _ if status in exit_status.STOPPED:
            return StepFailed(
                f"growgan {command} was told to stop",
                ending="interrupted",
                status=exit_status.AGAIN,
                may_pass=True,
            )
        case _ if status < 0:
            name = signal.Signals(-status).name
            return StepFailed(
                f"growgan {command} was ended by {name}", status=exit_status.AGAIN, may_pass=True
            )
    return StepFailed(
        f"growgan {command} ended with status {status}: {reason}",
        status=exit_status.AGAIN,
        may_pass=True,
    )
