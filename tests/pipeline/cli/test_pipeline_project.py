"""`growgan pipeline init`, `run` and `up` as a person uses them, where nothing is trained."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.data.sources import Place
from pipeline.orchestration.dagster import foreground
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import Project, open_project
from pipeline.orchestration.snapshots import Snapshot, take
from savedmodels.locks import hold
from tests.pipeline.cli.commands import Growgan
from tests.pipeline.orchestration.projects import make_project, put_pictures


def test_init_writes_a_project(growgan: Growgan, tmp_path: Path) -> None:
    put_pictures(tmp_path / "incoming", 0, 1)
    result = growgan(
        *("pipeline", "init", tmp_path / "faces", "--source", tmp_path / "incoming"),
        *("--set", "data.channels=1", "--set", "schedule.hold_images={4: 64}"),
    )
    assert (result.status, result.err) == (0, "")
    assert f"written: {tmp_path}/faces/pipeline.yaml" in result.out
    project = open_project(tmp_path / "faces")
    assert project.config.model == "faces"
    assert project.places() == (Place(tmp_path / "incoming"),)
    assert project.config.overrides == ("data.channels=1", "schedule.hold_images={4: 64}")
    told = yaml.safe_load((project.dagster_home / "dagster.yaml").read_text())
    assert told["telemetry"] == {"enabled": False}
    assert told["run_monitoring"]["enabled"]
    assert told["concurrency"]["runs"] == {"max_concurrent_runs": 1}
    assert told["retention"].keys() == {"schedule", "sensor"}
    again = growgan("pipeline", "init", tmp_path / "faces", "--source", "digits")
    assert again.status == 2
    assert again.err == (
        f"growgan: `DIR` must be a new or empty folder. Received: {tmp_path}/faces\n"
    )


@pytest.mark.parametrize("command", ["run", "up"])
def test_no_project_is_one_line(growgan: Growgan, tmp_path: Path, command: str) -> None:
    result = growgan("pipeline", command, tmp_path)
    assert result.status == 2
    assert result.err == (
        "growgan: a project must have a pipeline.yaml, which `growgan pipeline init` writes. "
        f"Received: {tmp_path}, without one\n"
    )


@pytest.mark.parametrize("command", ["run", "up"])
def test_without_dagster_one_line_says_so(
    growgan: Growgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    make_project(tmp_path)
    for name in list(sys.modules):
        if name.startswith("pipeline.orchestration.") or name.split(".")[0] == "dagster":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dagster", None)
    result = growgan("pipeline", command, tmp_path / "project")
    assert result.status == 2
    assert "`growgan pipeline` needs the extra `schedule`: pip install 'growgan[sch" in result.err


def test_what_was_promoted_is_not_run_again(growgan: Growgan, tmp_path: Path) -> None:
    put_pictures(tmp_path / "incoming", 0, 2)
    project = make_project(tmp_path)
    plan = Plan(project, take(project))
    plan.write_note("ended", run="earlier", verdict="promoted", reason="so", final=True)
    result = growgan("pipeline", "run", project.path)
    assert (result.status, result.err) == (0, "")
    told = "nothing to do: run earlier has promoted this already\n"
    assert result.out == told
    assert not (project.path / "history").exists()


def test_pictures_for_which_there_is_no_room_may_pass(
    growgan: Growgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(_: Project) -> Snapshot:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    project = make_project(tmp_path)
    monkeypatch.setattr(foreground, "take", take)
    result = growgan("pipeline", "run", project.path)
    assert (result.status, result.out) == (75, "")
    assert result.err == (
        "growgan: a file could not be read or written: [Errno 28] No space left on device\n"
    )


def test_a_run_beside_another_is_left_out_if_so_asked(growgan: Growgan, tmp_path: Path) -> None:
    project = make_project(tmp_path, schedule={"when_busy": "skip"})
    with hold(project.run_lock):
        result = growgan("pipeline", "run", project.path)
    assert result.status == 2
    assert "a project has one run at a time" in result.err


def test_a_project_is_up_once(growgan: Growgan, tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with hold(project.up_lock):
        result = growgan("pipeline", "up", project.path)
    assert result.status == 2
    assert "a project must be up only once" in result.err


def test_a_port_that_is_taken_is_refused(growgan: Growgan, tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = growgan("pipeline", "up", project.path, "--port", port)
    assert result.status == 2
    assert result.err == (
        f"growgan: the port of the user interface must be free. Received: {port}\n"
    )
