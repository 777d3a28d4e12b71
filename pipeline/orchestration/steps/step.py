"""One step: its inputs, its work and its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.orchestration.commands import Log, growgan
from pipeline.orchestration.plan import Plan
from savedmodels import atomic


@dataclass(frozen=True)
class Check:
    """Something that is looked at beside a step, and decides nothing."""

    passed: bool
    reason: str
    """What was found, in one line."""


@dataclass(frozen=True)
class Done:
    """Result of a step."""

    facts: Mapping[str, str | int | float]
    """By name, for people."""
    new: bool
    """False if all of it was there already."""
    pictures: tuple[Path, ...] = ()
    """PNG files."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Reports, models and folders by name."""
    checks: Mapping[str, Check] = field(default_factory=dict)
    """By name."""
    note: str = ""
    """What a person should know of it, in one line."""


def written_config(plan: Plan) -> Path:
    """Write the configuration of a plan as a file for `--config`, and return its path."""
    file = plan.folder / "config.yaml"
    atomic.make_folder(file.parent)
    settings = plan.config.model_dump(mode="json")
    atomic.write_file(file, yaml.safe_dump(settings, sort_keys=False))
    return file


def run_growgan(plan: Plan, log: Log, *words: str) -> str:
    """Run `growgan` as a process for a step, and return its standard output."""
    log_file = plan.project.logs / f"{plan.key}.log"
    return growgan(words, folder=plan.project.path, log_file=log_file, log=log)
