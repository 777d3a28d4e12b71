"""`growgan pipeline job`, with a stand-in for kubectl whose pods are processes here."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from pipeline.orchestration.kubernetes import job_runner
from pipeline.orchestration.kubernetes.job import job_of
from pipeline.orchestration.kubernetes.kubectl import Kubectl
from pipeline.orchestration.project import PIPELINE, keep_settings
from tests.pipeline.cli.commands import Growgan
from tests.pipeline.orchestration.clusters import ROOT, Cluster
from tests.pipeline.orchestration.projects import make_project

NAME = "growgan-1"
TRAINS = """
trap 'sleep 0.3; touch saved-$INDEX; exit 143' TERM
echo "worker $INDEX: $*"
sleep 600 & wait
"""


def told(process: subprocess.Popen[str], last: str) -> list[str]:
    """What a process says until it has said this."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if lines[-1] == last:
            return lines
    raise AssertionError(lines)


def test_a_job_that_was_left_behind_is_taken_over_and_removed_on_a_stop(
    python: str, tmp_path: Path
) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        training = {"workers": 2, "kubernetes": cluster.settings(cluster.program("image", TRAINS))}
        project = make_project(tmp_path, training=training)
        config = project.config.training.kubernetes
        assert config is not None
        job = job_of(config, NAME, ["train", "--out", "a"], project.path, 2)
        # All that a process has done that was killed at the worst moment.
        Kubectl(config)("create", "--filename=-", "--output=json", given=job)
        words = ["pipeline", "job", str(project.path), NAME, "--", "train", "--out", "a"]
        with subprocess.Popen(
            [python, "-m", "pipeline.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        ) as process:
            last = "worker 0: train --out a --set run.strategy=multi_worker"
            assert told(process, last)[0] == f"Job {NAME} is there already, and is taken over"
            process.send_signal(signal.SIGTERM)
            assert process.communicate() == ("", "")
        assert process.returncode == 143
        assert cluster.jobs() == []
        assert [(project.path / f"saved-{index}").exists() for index in (0, 1)] == [True, True]


def test_the_status_and_the_complaint_are_those_of_the_pod(
    growgan: Growgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_runner, "POLL_SECONDS", 0.2)
    with Cluster(tmp_path / "cluster") as cluster:
        fails = r"printf 'caf\351\n'; echo 'growgan: `x` must be y. Received: z'; exit 2"
        training = {"kubernetes": cluster.settings(cluster.program("image", fails))}
        project = make_project(tmp_path, training=training)
        keep_settings(project, tmp_path)
        (project.path / PIPELINE).write_text("model: [half writ")
        kept = ("--settings", tmp_path / PIPELINE)
        result = growgan("pipeline", "job", *kept, project.path, NAME, "--", "train")
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
