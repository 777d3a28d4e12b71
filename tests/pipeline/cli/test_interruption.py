"""Signals, the time limit and the exit statuses of `growgan train`, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from pipeline.cli.interruption import SIGNALS, Interruption, parse_time_limit
from pipeline.errors import UserError
from pipeline.training.loop.listeners import Moment
from pipeline.training.loop.recorders import JsonLines
from pipeline.training.synthesis import phase_task
from tests.pipeline.cli.commands import TINY, Growgan
from tests.pipeline.training.runs import Idle


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d", 86400),
        ("1d2h3m4s", 93784),
        (" 5m ", 300),
        ("10:00", 600),
        ("1:30:00", 5400),
        ("2-03:00:00", 183600),
    ],
)
def test_time_limits_are_read(text: str, seconds: int) -> None:
    assert parse_time_limit(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0s", "0", "90", "2 h", "h", "-1h", "1.5h", "30m1h", "1:2:3:4"]
)
def test_other_time_limits_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match=f"`--time-limit` must be .*Received: {text}$") as caught:
        parse_time_limit(text)
    assert "\n" not in str(caught.value)


@pytest.fixture
def handlers() -> object:
    """The signals' handlers are put back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Tests may run under `nohup`.
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_process_until_it_is_only_noted(number: int, status: int) -> None:
    interruption = Interruption()
    with pytest.raises(SystemExit) as caught:
        os.kill(os.getpid(), number)
    assert caught.value.code == status
    # Even if somebody caught that.
    with pytest.raises(SystemExit):
        interruption.only_note()

    interruption = Interruption()
    interruption.only_note()
    assert not interruption.status
    os.kill(os.getpid(), number)
    assert interruption.status == status
    # SIGTERM is told twice to who is told by parent and service manager; Ctrl-C is a person's.
    os.kill(os.getpid(), signal.SIGTERM)
    assert interruption.status == status
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


@pytest.mark.usefixtures("handlers")
def test_nohup_keeps_a_lost_terminal_from_ending_anything() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interruption = Interruption()
    os.kill(os.getpid(), signal.SIGHUP)
    assert not interruption.status


# Workers and lines of progress even for little work, so that a signal comes in the middle.
PREPARING = """
import os
print(os.getpid())
import pipeline.cli.console as console, pipeline.data.workers as workers
console.LINE_EVERY, workers.WORTH_SHARING = 100, -1
from pipeline.cli import main
main()
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_while_images_are_prepared_leaves_no_run_and_whole_shards(
    python: str, tmp_path: Path, number: signal.Signals
) -> None:
    command = [python, "-u", "-c", PREPARING, "train", "--config", "quickstart"]
    command += ["--data", "glyphs:32x6000", "--set", "schedule.resolution=32"]
    command += ["--set", "data.channels=1"]
    command += ["--set", f"data.records={tmp_path / 'records'}", "--out", str(tmp_path / "run")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        group = int(process.stdout.readline())  # a fork has a group of its own
        for line in process.stdout:
            if b"preparing images: " in line:
                os.killpg(group, number)  # as a terminal does, to the workers as well
                break
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors == b""
    assert not (tmp_path / "run").exists()
    [partial] = (tmp_path / "records").iterdir()
    assert partial.name.endswith(".partial")


def test_a_signal_while_a_run_trains_saves_it(
    growgan: Growgan, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: JsonLines, moment: Moment) -> None:
        assert moment.images_seen == 16
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)

    run = tmp_path / "run"
    command = ["train", *TINY, "--set", f"data.records={workspace / 'records'}", "--out", run]
    monkeypatch.setattr(JsonLines, "logged", interrupt)
    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    result = growgan(*command)
    assert (result.status, result.err) == (128 + signal.SIGTERM, "")
    assert "Stopped after 24 of 256 images; they are saved." in result.out
    assert "--resume" in result.out
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["images-000000024"]
    assert json.loads((run / "manifest.json").read_text())["images_seen"] == 24


@pytest.mark.slow
def test_sigterm_saves_and_resume_goes_on_to_the_same_end(
    python: str, workspace: Path, tmp_path: Path
) -> None:
    run = tmp_path / "interrupted"
    command = [python, "-u", "-m", "pipeline.cli", "train", *TINY, "--out", str(run)]
    command += ["--set", f"data.records={workspace / 'records'}", "--resume", "auto"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "32/256 images" in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stdout.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert "Stopped after" in rest
    assert "--resume" in rest
    assert any((run / "checkpoints").glob("images-*"))
    assert not (run / "savedmodels" / "8x8").exists()

    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    first, second = (
        (folder / "samples" / "images-000000256.png").read_bytes()
        for folder in (workspace / "run", run)
    )
    assert first == second
