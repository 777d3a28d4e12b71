"""Commands in processes of their own: what their ends mean, and that none outlives its parent."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipeline.errors import AlarmError, UserError
from pipeline.orchestration.commands import growgan
from pipeline.orchestration.runs.failure import StepFailed, failure_of
from tests.pipeline.orchestration.projects import let_commands, wait

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("status", "complaint", "reason", "ending", "left", "may_pass"),
    [
        (
            2,
            "growgan: `x` must be y. Received: z",
            "`x` must be y. Received: z",
            "failed",
            2,
            False,
        ),
        (2, "growgan: [Errno 28] No space left on device", "No space left", "failed", 2, False),
        (3, "growgan: alarm collapse", "alarm collapse", "alarm", 3, False),
        (4, "", "gave no reason", "gate failed", 4, False),
        (5, "growgan: images: 1 of 64 values differ", "images: 1 of 64", "failed", 5, False),
        (69, "growgan: a worker is gone", "a worker is gone", "failed", 75, True),
        (74, "growgan: [Errno 122] Quota exceeded", "Quota exceeded", "failed", 75, True),
        (75, "", "status 75", "failed", 75, True),
        *((stopped, "", "was stopped", "interrupted", 75, True) for stopped in (129, 130, 143)),
        (-9, "", "ended by SIGKILL", "failed", 75, True),
        (1, "Traceback\nValueError: so", "ValueError: so", "failed", 75, True),
    ],
)
def test_an_end_says_what_follows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    complaint: str,
    reason: str,
    ending: str,
    left: int,
    may_pass: bool,
) -> None:
    end = f"exit {status}" if status > 0 else f"kill {status} $$"
    let_commands(monkeypatch, tmp_path, f"printf %s {shlex.quote(complaint)} >&2; {end}")
    with pytest.raises(StepFailed) as caught:
        growgan(["train"], folder=tmp_path, log_file=tmp_path / "log", log=print)
    failed = caught.value.failure
    assert reason in failed.reason
    assert (failed.ending, failed.status, failed.may_pass) == (ending, left, may_pass)


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "ending", "may_pass"),
    [
        (UserError("no"), "failed", False),
        (caused_by(UserError("no"), OSError(122, "Quota exceeded")), "failed", True),
        (caused_by(UserError("no"), FileNotFoundError(2, "None there")), "failed", False),
        (AlarmError("no"), "alarm", False),
        (OSError(28, "No space left on device"), "failed", True),
        (ValueError("what\nnobody foresaw"), "failed", True),
        (KeyboardInterrupt(), "interrupted", True),
    ],
)
def test_an_error_says_what_follows(error: BaseException, ending: str, may_pass: bool) -> None:
    failed = failure_of(error)
    assert (failed.ending, failed.may_pass) == (ending, may_pass)
    assert "\n" not in failed.reason


@pytest.mark.usefixtures("forked")
def test_a_command_is_run_and_its_lines_are_told(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "logs" / "a.log"
    written = growgan(["presets"], folder=tmp_path, log_file=log, log=lines.append)
    assert "quickstart" in written
    assert written.splitlines() == lines
    assert log.read_text() == "$ growgan presets\n" + written
    with pytest.raises(StepFailed, match="did you mean quickstart"):
        growgan(["config", "quikstart"], folder=tmp_path, log_file=log, log=lines.append)


def test_a_byte_that_is_no_text_ends_nothing_and_hides_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "printf 'is\\377so\\n'; printf 'growgan: no\\377\\n' >&2; exit 2"
    let_commands(monkeypatch, tmp_path, script)
    lines: list[str] = []
    with pytest.raises(StepFailed) as caught:
        growgan(["train"], folder=tmp_path, log_file=tmp_path / "log", log=lines.append)
    assert caught.value.failure.reason == "no\N{REPLACEMENT CHARACTER}"
    assert lines == ["is\N{REPLACEMENT CHARACTER}so"]


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


WAITS = """
from pathlib import Path
import sys
from pipeline.orchestration.commands import child
with child(("serve", sys.argv[1], "--port", "0", "--rest-api-port", "0"), Path(sys.argv[1])) as p:
    print(p.pid, flush=True)
    p.wait()
"""


@pytest.mark.usefixtures("forked")
def test_a_command_ends_with_the_process_that_runs_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout is not None
        command = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    wait(lambda: has_ended(command), "the end of the command")
