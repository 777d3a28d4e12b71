"""Steps that train a stage: the commands they start, here or on a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.orchestration import steps
from pipeline.orchestration.commands import Log
from pipeline.orchestration.kubernetes.job import name_of
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import PIPELINE
from pipeline.orchestration.project_config import TrainingConfig
from pipeline.orchestration.runs.failure import StepFailed
from pipeline.orchestration.runs.run import begin_run
from pipeline.orchestration.snapshots import take
from pipeline.orchestration.steps import step
from tests.pipeline.orchestration.clusters import Cluster
from tests.pipeline.orchestration.projects import (
    TINY,
    Commands,
    let_commands,
    make_plan,
    make_project,
    promoted_plan,
    put_pictures,
)


def test_a_model_is_trained_to_its_end_and_alarms_are_told(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    checkpoints = plan.run.path / "checkpoints"
    (checkpoints / "images-000000032").mkdir(parents=True)
    with pytest.raises(StepFailed, match=r"64 images\. Received: .*, with a checkpoint at 32"):
        steps.trained_model(plan, print)
    (checkpoints / "images-000000064").mkdir()
    assert steps.trained_model(plan, print).checks["alarms"].passed
    plan.run.metrics.write_text('{"alarm": "collapse"}\n{"alarm": "collapse"}\n')
    check = steps.trained_model(plan, print).checks["alarms"]
    assert (check.passed, check.reason) == (False, "alarms while it trained: collapse")


@pytest.mark.parametrize(
    ("training", "before", "after"),
    [
        ({}, [], []),
        ({"workers": 2}, [], ["--workers", "2"]),
        (
            {"workers": 2, "kubernetes": {"image": "i", "mount_path": "/"}},
            ["pipeline", "job", "{project}", "{job}", "--"],
            [],
        ),
    ],
    ids=["one process", "processes", "pods"],
)
def test_the_same_training_is_started_here_or_on_a_cluster(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    training: dict[str, Any],
    before: list[str],
    after: list[str],
) -> None:
    plan = make_plan(tmp_path, training=training)
    project = plan.project
    commands = Commands()
    monkeypatch.setattr(step, "growgan", commands)
    with pytest.raises(StepFailed, match="must leave a checkpoint"):
        steps.stage(plan, (8, 8), lambda _: None, None)
    places = {"project": project.path, "job": name_of(plan.run.path)}
    config, run = plan.folder / "config.yaml", plan.run.path
    assert commands.asked == [
        [
            *(word.format(**places) for word in before),
            *("train", "--config", str(config), "--out", str(run), "--resume", "auto"),
            *("--until-resolution", "8"),
            *after,
        ]
    ]


def test_a_job_is_made_of_the_settings_that_its_run_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_pictures(tmp_path / "incoming", 0, 3)
    training = {"kubernetes": {"image": "i", "mount_path": "/"}}
    project = make_project(tmp_path, training=training)
    key = take(project).key
    run = begin_run(project, "r", snapshot=key, trigger="manual")
    commands = Commands()
    monkeypatch.setattr(step, "growgan", commands)
    with pytest.raises(StepFailed, match="must leave a checkpoint"):
        steps.stage(run.plan, (8, 8), lambda _: None, None)
    kept = str(run.folder / PIPELINE)
    assert commands.asked[0][:5] == ["pipeline", "job", "--settings", kept, str(project.path)]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_beam_writes_records_and_pods_train_on_them(tmp_path: Path) -> None:
    """The same command as by `training.workers`, for which `growgan train` has tests of its own."""
    put_pictures(tmp_path / "incoming", 0, 20)
    lines: list[str] = []
    with Cluster(tmp_path / "cluster") as cluster:
        training = {
            "workers": 2,
            "beam": "--runner=DirectRunner",
            "kubernetes": cluster.settings(cluster.growgan()),
        }
        overrides = (*TINY, "schedule.hold_images=32")
        project = make_project(tmp_path, overrides=overrides, training=training)
        plan = Plan(project, take(project))
        assert steps.records(plan, lines.append).new
        done = steps.stage(plan, (8, 8), lines.append, None)
        assert cluster.jobs() == []
    log = (project.logs / f"{plan.key}.log").read_text()
    assert "--beam --runner=DirectRunner" in log
    assert f"Job {name_of(plan.run.path)} is made, of 2 pods" in lines
    assert (done.new, done.facts["images seen"]) == (True, 32)
    assert done.files["SavedModel"].is_dir()
    assert [line for line in lines if "hold_8x8: 32/32 images" in line]


def words_of_stage(
    plan: Plan, promoted: int | None, monkeypatch: pytest.MonkeyPatch, say: Log = lambda _: None
) -> list[str]:
    """How a training is started; it fails as it does when a worker is lost."""
    reason = "a run ends with any of its workers. Received: SIGKILL in worker 1 of 2"
    folder = plan.project.path
    script = f"""printf '%s\\n' "$@" > words; echo 'growgan: {reason}' >&2; exit 69"""
    let_commands(monkeypatch, folder, script)
    with pytest.raises(StepFailed) as caught:
        steps.stage(plan, (8, 8), say, promoted)
    assert caught.value.failure.reason == f"growgan train ended with status 69: {reason}"
    assert caught.value.failure.may_pass
    module, name, *words = (folder / "words").read_text().splitlines()
    assert (module, name) == ("-m", "pipeline.cli")
    return words


def test_a_stage_that_loses_a_worker_is_tried_again_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path, training={"workers": 2})
    first = words_of_stage(plan, None, monkeypatch)
    assert first[first.index("--workers") :][:2] == ["--workers", "2"]
    assert first[first.index("--resume") :][:2] == ["--resume", "auto"]
    assert words_of_stage(plan, None, monkeypatch) == first


def test_a_run_starts_from_the_promoted_weights_where_it_is_asked_to(
    tmp_path: Path, run_with: Any, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = promoted_plan(tmp_path, run_with, evaluated, training={"warm_start": True})
    [promoted] = plan.project.runs.iterdir()
    words = words_of_stage(plan, 1, monkeypatch)
    assert words[words.index("--from") + 1] == str(promoted)
    assert "--from" not in words_of_stage(plan, None, monkeypatch)
    said: list[str] = []
    assert "--from" not in words_of_stage(plan, 7, monkeypatch, said.append)
    assert said == ["the run behind version 7 is not in this project: no weights to start from"]
    cold = plan.project.config.model_copy(update={"training": TrainingConfig()})
    cold_plan = replace(plan, project=replace(plan.project, config=cold))
    assert "--from" not in words_of_stage(cold_plan, 1, monkeypatch)
