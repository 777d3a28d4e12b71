"""One step: its result, its place among the others, and how it runs commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.orchestration.commands import Log, growgan
from pipeline.orchestration.plan import Plan
from pipeline.shape import Shape, shape_name
from savedmodels import atomic

BEFORE = ("source_snapshot", "checked_data", "records")
AFTER = (*("trained_model", "evaluation", "gate", "savedmodel", "published_version", "smoke_test"),)


@dataclass(frozen=True)
class StepCheck:
    """Finding beside a step, which warns and decides nothing."""

    passed: bool
    reason: str


@dataclass(frozen=True)
class Done:
    """Result of a step."""

    facts: Mapping[str, str | int | float]
    """Figures for people, by name."""
    new: bool
    """False if all of it was there already."""
    pictures: tuple[Path, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    """Reports, models and folders by name."""
    checks: Mapping[str, StepCheck] = field(default_factory=dict)
    note: str = ""
    """Remark for people, in one line."""


def step_names(stages: Sequence[Shape]) -> tuple[str, ...]:
    """Return the names of all steps, in order, by the shapes of the stages."""
    return (*BEFORE, *(f"stage_{shape_name(shape)}" for shape in stages), *AFTER)


def written_config(plan: Plan) -> Path:
    """Write the configuration of a plan as a file for `--config`, and return its path."""
    file = plan.folder / "config.yaml"
    atomic.make_folder(file.parent)
    atomic.write_file(file, yaml.safe_dump(plan.config.model_dump(mode="json"), sort_keys=False))
    return file


def run_growgan(plan: Plan, log: Log, *words: str) -> str:
    """Run `growgan` as a process for a step, and return its standard output."""
    log_file = plan.project.logs / f"{plan.key}.log"
    return growgan(words, folder=plan.project.path, log_file=log_file, log=log)
