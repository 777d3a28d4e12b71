"""Projects for tests, pictures that arrive in them, and plans of their runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import psutil
import pytest
import yaml

from pipeline.evaluation.scores import Evaluation, folder_of
from pipeline.orchestration import steps
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import PIPELINE, Project, open_project
from pipeline.orchestration.snapshots import take
from pipeline.orchestration.template import write_project

CHECKS = ("data_shift", "alarms", "score_regression")
DONE = steps.Done({}, new=True, checks=dict.fromkeys(CHECKS, steps.StepCheck(True, "so")))
"""Result of a stand-in for any step."""
NO_COMPUTE_LOGS = {
    "module": "dagster._core.storage.noop_compute_log_manager",
    "class": "NoOpComputeLogManager",
}
"""For an instance of Dagster that starts no processes to keep what steps print, as that is no part
of what is tested. They watch their parents, which a fork of another process cannot."""
LONGEST = 900.0
"""Seconds that something may take to come, on a machine that is busy with other tests."""
TINY = (
    "data.channels=1",
    "schedule.start_resolution=8",
    "schedule.resolution=8",
    "schedule.hold_images=64",
    "schedule.batch_size=8",
    "network.fmap_max=8",
    "network.latent_size=8",
    "run.log_images=16",
    "run.checkpoint_images=32",
    "evaluation.images=64",
    "evaluation.metrics=[swd]",
)
"""One stage of 8 px that is over in a moment."""
GATED = (
    *TINY[:-2],
    "evaluation.features=lenet:lenet.npz",
)
"""The same, measured by what a gate may ask for; there are no such weights."""
QUICK = {
    "contract": None,
    "schedule": {"new_data": {"least": 1, "quiet_seconds": 2, "every_seconds": 2}},
    "retries": {"most": 1, "first_seconds": 1},
}


def put_pictures(folder: Path, start: int, end: int) -> None:
    """Pictures of 8 px with these numbers, each a function of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, end):
        levels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
        PIL.Image.fromarray(levels).save(folder / f"{number:05d}.png")


def make_project(folder: Path, *, overrides: tuple[str, ...] = TINY, **changes: Any) -> Project:
    """A project in `project`, whose pictures arrive in `incoming` beside it."""
    incoming = folder / "incoming"
    incoming.mkdir(exist_ok=True)
    path = folder / "project"
    write_project(
        path,
        model="digits",
        sources=[str(incoming)],
        preset="quickstart",
        overrides=list(overrides),
    )
    file = path / PIPELINE
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **QUICK, **changes}))
    return open_project(path)


def change(project: Project, **changes: Any) -> Project:
    """The project with other keys in its file."""
    file = project.path / PIPELINE
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))
    return open_project(project.path)


def without_compute_logs(project: Project) -> Project:
    """The project, where Dagster keeps nothing of what steps print."""
    file = project.dagster_home / "dagster.yaml"
    settings = {**yaml.safe_load(file.read_text()), "compute_logs": NO_COMPUTE_LOGS}
    file.write_text(yaml.safe_dump(settings))
    return project


def let_commands(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Let each command that a step starts run a shell script instead."""
    command = folder / "command"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(command))


def processes_in(project: Project) -> list[psutil.Process]:
    """Processes that work in the folder of a project, as all commands of its steps do."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(project.path):
                found.append(process)
    return found


def wait(until: Callable[[], Any], what: str) -> Any:
    """What a condition gives, once it gives something."""
    end = time.monotonic() + LONGEST
    while not (found := until()):
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.05)
    return found


def make_plan(folder: Path, **changes: Any) -> Plan:
    put_pictures(folder / "incoming", 0, 3)
    project = make_project(folder, **changes)
    return Plan(project, take(project))


def promoted_plan(tmp_path: Path, run_with: Any, evaluated: Any, **changes: Any) -> Plan:
    """A plan of new pictures, and version 1 that an earlier one has published."""
    put_pictures(tmp_path / "incoming", 0, 3)
    project = make_project(tmp_path, **changes)
    earlier = Plan(project, take(project))
    run_with(earlier.run.path, evaluated(64), overrides=TINY)
    published = {"version": 1, "destination": earlier.destination}
    earlier.write_note(
        "published", **published, run=str(earlier.run.path.relative_to(project.path))
    )
    put_pictures(tmp_path / "incoming", 3, 5)
    return Plan(project, take(project))


def measured(plan: Plan, run_with: Any, scores: Evaluation) -> Plan:
    """The plan, of which the run has these scores."""
    run_with(plan.run.path, scores, overrides=TINY)
    folder = folder_of(plan.run, scores)
    plan.write_note("evaluated", folder=str(folder.relative_to(plan.project.path)))
    return plan


class Commands:
    """Takes the place of commands: it notes them, and does what a test says."""

    def __init__(self, then: Callable[[list[str]], None] = lambda words: None) -> None:
        self.asked: list[list[str]] = []
        self._then = then

    def __call__(self, words: Sequence[str], **_: Any) -> str:
        self.asked.append(list(words))
        self._then(list(words))
        return ""
