"""Commands in this process, and a run that one has finished."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from tests.pipeline.cli.commands import TINY, Growgan, Result


@pytest.fixture
def growgan(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Growgan:
    """Run a command in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["growgan", *map(str, arguments)])
        handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        return Result(int(caught.value.code or 0), *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished tiny run in `run` and its records in `records`."""
    folder = tmp_path_factory.mktemp("workspace")
    command = [sys.executable, "-m", "pipeline.cli", "train", *TINY, "--profile", "2,3"]
    command += ["--set", f"data.records={folder / 'records'}", "--out", str(folder / "run")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    (folder / "out.txt").write_text(result.stdout)
    return folder
