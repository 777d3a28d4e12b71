"""`growgan pipeline job`, with a stand-in for kubectl whose pods are processes here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.orchestration import following
from pipeline.orchestration.project import Project
from tests.pipeline.cli.commands import Growgan
from tests.pipeline.orchestration.clusters import ROOT, Cluster
from tests.pipeline.orchestration.projects import make_project

NAME = "growgan-1"
TRAINS = """
trap 'sleep 0.3; touch saved-$INDEX; exit 143' TERM
echo "worker $INDEX: $*"
sleep 600 & wait
"""


def start(project: Project) -> subprocess.Popen[str]:
    words = ["pipeline", "job", str(project.path), NAME, "--", "train", "--out", "a"]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )


def told(process: subprocess.Popen[str], last: str) -> list[str]:
    """What a process says until it has said this."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if lines[-1] == last:
            return lines
    raise AssertionError(lines)


def test_a_job_outlives_the_command_that_is_killed_and_not_one_that_is_stopped(
    tmp_path: Path,
) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        training = {"workers": 2, "kubernetes": cluster.settings(cluster.program("image", TRAINS))}
        project = make_project(tmp_path, training=training)
        trains = "worker 0: train --out a --set run.strategy=multi_worker"
        with start(project) as first:
            assert told(first, trains)[0] == f"Job {NAME} is made, of 2 pods"
            first.kill()
        assert cluster.jobs() == [NAME]
        with start(project) as second:
            assert told(second, trains)[0] == f"Job {NAME} is there already, and is taken over"
            second.send_signal(signal.SIGTERM)
            assert second.communicate() == ("", "")
        assert second.returncode == 143
        assert cluster.jobs() == []
        assert len([call for call in cluster.calls() if call.startswith("create")]) == 1
        assert [(project.path / f"saved-{index}").exists() for index in (0, 1)] == [True, True]


def test_the_status_and_the_complaint_are_those_of_the_pod(
    growgan: Growgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "EVERY", 0.2)
    with Cluster(tmp_path / "cluster") as cluster:
        fails = r"printf 'caf\351\n'; echo 'growgan: `x` must be y. Received: z'; exit 2"
        training = {"kubernetes": cluster.settings(cluster.program("image", fails))}
        project = make_project(tmp_path, training=training)
        result = growgan("pipeline", "job", project.path, NAME, "--", "train")
        assert cluster.jobs() == []
    assert result.status == 2
    assert result.out.splitlines()[1:] == ["caf�", "growgan: `x` must be y. Received: z"]
    assert result.err == "caf�\ngrowgan: `x` must be y. Received: z\n"


def test_it_needs_a_cluster(growgan: Growgan, tmp_path: Path) -> None:
    project = make_project(tmp_path)
    result = growgan("pipeline", "job", project.path, NAME, "--", "train")
    assert result.status == 2
    assert result.err == (
        "growgan: `growgan pipeline job` needs `training.kubernetes`. "
        f"Received: {project.path}, without it\n"
    )
