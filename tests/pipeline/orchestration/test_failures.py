"""Steps that are killed, runs that are killed, pictures that are corrupt: what is left, and why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import PIL.Image
import psutil
import pytest
import yaml

from pipeline.orchestration.dagster.recovery import REASON
from pipeline.orchestration.project import PIPELINE, Project
from pipeline.orchestration.runs.outcome import HISTORY, history_of
from pipeline.orchestration.runs.run import read_state
from tests.pipeline.orchestration.projects import (
    make_project,
    processes_in,
    put_pictures,
    wait,
    without_compute_logs,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked")]
ROOT = Path(__file__).parents[3]
COMMANDS = ("check", "prepare", "train", "evaluate", "verify", "serve")


def start(project: Project) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "pipeline", "run", str(project.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("size", ["1100k", "1700k", "2300k"])
def test_a_disk_that_is_full_ends_a_run_in_a_line_and_it_goes_on(tmp_path: Path, size: str) -> None:
    """Whatever fills it: Dagster's databases, a snapshot, a report, or a run of the pipeline."""
    volume = tmp_path / "volume"
    volume.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(volume)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        put_pictures(volume / "incoming", 0, 40)
        project = make_project(volume)
        with start(project) as run:
            _, errors = run.communicate()
        assert run.returncode == 75
        assert errors.splitlines()[-1].startswith("growgan: ")
        assert "Traceback" not in errors
        subprocess.run(["mount", "-o", "remount,size=64m", str(volume)], check=True)
        with start(project) as run:
            _, errors = run.communicate()
        assert run.returncode == 0, errors
    finally:
        subprocess.run(["umount", "--lazy", str(volume)], check=True)


def kill_each_once(project: Project, run: subprocess.Popen[str], killed: set[str]) -> None:
    """Kill the first process of each command, as soon as it is there."""
    while run.poll() is None and len(killed) < len(COMMANDS):
        for each in processes_in(project):
            with suppress(psutil.Error):
                words = each.cmdline()
                for name in {*COMMANDS} - killed:
                    if "pipeline.cli" in words and name in words:
                        each.kill()
                        killed.add(name)
        time.sleep(0.01)


def test_a_run_whose_commands_are_each_killed_once_promotes_one_version(tmp_path: Path) -> None:
    put_pictures(tmp_path / "incoming", 0, 40)
    made = make_project(tmp_path, retries={"most": 2, "first_seconds": 0.1})
    project = without_compute_logs(made)
    run = start(project)
    killed: set[str] = set()
    killer = threading.Thread(target=kill_each_once, args=(project, run, killed))
    killer.start()
    out, err = run.communicate()
    killer.join()
    assert (run.returncode, err) == (0, "")
    assert killed == {*COMMANDS}
    assert out.count("promoted: version 1 of digits\n") == 1
    [outcome] = history_of(project.path)
    assert (outcome.verdict, outcome.version) == ("promoted", 1)
    assert {step.state for step in outcome.steps} <= {"done", "unchanged"}
    assert [v.version for v in project.repository.versions("digits")] == [1]
    assert not [path for path in project.path.rglob(".*.tmp")]


def test_a_run_that_is_killed_goes_on_and_corrupt_pictures_end_one(tmp_path: Path) -> None:
    put_pictures(tmp_path / "incoming", 0, 40)
    project = without_compute_logs(make_project(tmp_path, contract="contract.yaml"))
    run = start(project)
    try:
        wait(lambda: list(project.runs.glob("*/checkpoints/images-*")), "a checkpoint")
    except AssertionError:
        run.kill()
        raise
    assert processes_in(project)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    wait(lambda: not processes_in(project), "the end of its commands")
    assert history_of(project.path) == []
    [begun] = (project.path / HISTORY).iterdir()
    assert [step.name for step in read_state(begun).steps][-1] == "records"

    again = start(project)
    out, err = again.communicate()
    assert (again.returncode, err) == (0, "")
    assert "records: found done" in out
    assert "promoted: version 1 of digits" in out
    killed, promoted = history_of(project.path)
    assert (killed.verdict, killed.reason) == ("failed", REASON)
    assert promoted.verdict == "promoted"

    # The rules are those that the first run has written.
    PIL.Image.new("L", (16, 16)).save(tmp_path / "incoming" / "large.png")
    broken = start(project)
    out, err = broken.communicate()
    assert broken.returncode == 2
    assert err.count("\n") == 1
    assert "contract.yaml: `most_side` must be at most 8" in err
    assert history_of(project.path)[-1].steps[1].state == "failed"
    assert project.repository.label_state("digits").labels == {"stable": 1}
    (tmp_path / "incoming" / "large.png").unlink()

    file = project.path / PIPELINE
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "contract": None}))
    (tmp_path / "incoming" / "new.png").write_bytes(b"no picture")
    corrupt = start(project)
    out, err = corrupt.communicate()
    assert corrupt.returncode == 2
    assert err.count("\n") == 1
    assert "every picture must be usable" in err
    assert "new.png" in err
    logs = [log.read_text() for log in project.logs.glob("*.log")]
    [tried] = [text for text in logs if "new.png" in text]
    assert tried.count("$ growgan data prepare") == 1
    failed = history_of(project.path)[-1]
    assert (failed.verdict, failed.previous_version) == ("failed", 1)
    assert "every picture must be usable" in failed.reason
    assert project.repository.label_state("digits").labels == {"stable": 1}
