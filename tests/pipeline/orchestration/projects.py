"""Projects for tests, and pictures that arrive in them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import psutil
import pytest
import yaml

from pipeline.orchestration import steps
from pipeline.orchestration.project import PIPELINE, Project, open_project
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
