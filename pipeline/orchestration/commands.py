"""Commands of `growgan` in processes of their own: what they say, and what their end means."""

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
from pipeline.orchestration.failure import StepFailed
from pipeline.orchestration.parent_process import die_with_parent

GRACE = 60.0
"""Seconds that a command has to save what it did when it is told to stop."""

Say = Callable[[str], None]
"""Shows a line of progress."""


def growgan(
    arguments: Sequence[str],
    *,
    folder: Path,
    log: Path,
    say: Say,
) -> str:
    """Run `growgan …` to its end; what it wrote.

    TensorFlow and the memory it takes stay in that process, and it ends with this one: a step
    whose process is killed leaves nobody behind who still writes.

    Args:
        arguments: Arguments of the command line.
        folder: Working folder.
        log: File to which all it says is added.
        say: Shows each of its lines.

    Raises:
        StepFailed: if it ends with another status than 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    with log.open("a") as kept, TemporaryFile("w+", errors="replace") as complaints:
        print(f"$ growgan {' '.join(arguments)}", file=kept, flush=True)
        with child(
            arguments,
            folder,
            stdout=subprocess.PIPE,
            stderr=complaints,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                kept.write(line)
                kept.flush()
                written.append(line)
                say(line.rstrip())
            status = process.wait()
        complaints.seek(0)
        complaint = complaints.read()
        kept.write(complaint)
    if status:
        # A command that runs another one names it after two dashes.
        name = arguments[arguments.index("--") + 1] if "--" in arguments else arguments[0]
        raise _failed(name, status, complaint)
    return "".join(written)


@contextmanager
def child(
    arguments: Sequence[str],
    folder: Path,
    *,
    stdout: int | None = None,
    stderr: IO[str] | int | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A process of `growgan …` that ends with the block, and with this process, however it ends."""
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


def _failed(command: str, status: int, complaint: str) -> StepFailed:
    lines = [line for line in complaint.splitlines() if line.strip()]
    told = [line.removeprefix("growgan: ") for line in lines if line.startswith("growgan: ")]
    reason = told[-1] if told else (lines[-1] if lines else "it said nothing")
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
