"""Output whose reader is gone, streams that are closed, and locales that are not UTF-8."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli.console import progress, say
from pipeline.cli.lasting_stream import LastingStream
from tests.pipeline.orchestration.clusters import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
GROWGAN = [sys.executable, "-m", "pipeline.cli"]


def test_what_nobody_reads_is_dropped() -> None:
    reader, writer = os.pipe()
    with open(writer, "w", buffering=1, encoding="utf-8") as stream:
        lasting = LastingStream(stream)
        lasting.write("one\n")
        assert os.read(reader, 9) == b"one\n"
        os.close(reader)
        for _ in range(3):
            assert lasting.write("two\n") == 4
            lasting.flush()
        assert not lasting.isatty()


def test_a_full_disk_is_told() -> None:
    with open("/dev/full", "w", encoding="utf-8") as stream:
        lasting = LastingStream(stream)
        lasting.write("a line")
        with pytest.raises(OSError, match="No space") as caught:
            lasting.flush()
        assert caught.value.errno == errno.ENOSPC
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_lines_beside_a_bar_come_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    console = Console(file=LastingStream(), force_terminal=True)
    with progress(console, "reading") as report:
        report(1, 2)
        say(console, "of ours")
        print("of others")
    assert shown.getvalue().count("of ours") == shown.getvalue().count("of others") == 1


@pytest.mark.new_interpreter
def test_a_closed_pipe_keeps_no_report_from_being_written(tmp_path: Path) -> None:
    command = [*GROWGAN, "data", "check", "glyphs:8x40", "--out", str(tmp_path / "check")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        process.stdout.close()
    assert process.returncode == 0
    assert {"report.json", "contact-sheet.png"} <= {p.name for p in (tmp_path / "check").iterdir()}


@pytest.mark.new_interpreter
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-"])
def test_closed_streams_are_no_mistake(tmp_path: Path, closed: str) -> None:
    words = [*GROWGAN, "data", "check", "glyphs:8x40", "--out", str(tmp_path / "check")]
    command = f"{' '.join(words)} {closed}"
    done = subprocess.run(command, shell=True, env=ENVIRONMENT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "check" / "contact-sheet.png").exists()


@pytest.mark.new_interpreter
def test_files_are_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("# … of one size\nschedule: {resolution: 8}\n", encoding="utf-8")
    environment = {**ENVIRONMENT, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [*GROWGAN, "config", str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
