"""Run commands of `growgan` as subprocesses for the pipeline's steps; report their failures."""

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

GRACE = 60.0  # Seconds between SIGTERM and SIGKILL, in which a command saves its work.

Log = Callable[[str], None]  # Callback that logs one line of progress.


def growgan(arguments: Sequence[str], *, folder: Path, log_file: Path, log: Log) -> str:
    """Run `growgan …` in a subprocess until it ends, and return its standard output.

    Each line of standard output goes to `log`. Both outputs are appended to `log_file`.

    Raises:
        StepFailed: if the exit status is not 0.
    """
    # Use a subprocess: TensorFlow frees its memory only when its process ends.
    log_file.parent.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    with log_file.open("a") as kept, TemporaryFile("w+", errors="replace") as errors:
        print(f"$ growgan {' '.join(arguments)}", file=kept, flush=True)
        # Write errors to a file: an unread pipe would fill up and block the command.
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
        # `pipeline job … -- train` runs `train` for us: name that one in the failure.
        name = arguments[arguments.index("--") + 1] if "--" in arguments else arguments[0]
        raise _failure_of_status(name, status, error_text)
    return "".join(written)


@contextmanager
def child(
    arguments: Sequence[str],
    folder: Path,
    *,
    stdout: int | None = None,
    stderr: IO[str] | int | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start `growgan …`, and stop it when the block ends or this process is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        errors="replace",  # Output that is not UTF-8 must not raise here.
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Keep Ctrl-C in a terminal from the subprocess: this process stops it in order.
        process_group=0,
        preexec_fn=die_with_parent(signal.SIGKILL),  # Nothing writes on after a killed step.
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
    """Return the last `growgan: …` line in a command's errors, or else the last line, or None."""
    lines = [line for line in error_text.splitlines() if line.strip()]
    own = [line.removeprefix("growgan: ") for line in lines if line.startswith("growgan: ")]
    # Prefer our own line, because libraries may write after it.
    return next(reversed(own or lines), None)


def _failure_of_status(command: str, status: int, error_text: str) -> StepFailed:
    reason = reason_in(error_text) or "it gave no reason"
    match status:
        case exit_status.USER | exit_status.VERIFY:
            return StepFailed(reason, status=status)
        case exit_status.ALARM:
            return StepFailed(reason, ending="alarm", status=status)
        case exit_status.GATE:
            return StepFailed(reason, ending="gate failed", status=status)
    ending: Ending = "failed"
    # Any other failure, such as a full disk or a kill, may pass.
    if status in exit_status.STOPPED:
        ending, reason = "interrupted", f"growgan {command} was stopped"
    elif status < 0:
        reason = f"growgan {command} was ended by {signal.Signals(-status).name}"
    elif status != exit_status.FILE:
        reason = f"growgan {command} ended with status {status}: {reason}"
    return StepFailed(reason, ending=ending, status=exit_status.AGAIN, may_pass=True)
