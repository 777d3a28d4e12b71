"""Names, order and results of a pipeline run's steps, and functions to run `growgan` in a step.

docs/pipeline.md says what each step does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.orchestration.commands import Log, growgan
from pipeline.orchestration.plan import Plan
from pipeline.shape import Shape, shape_name
from savedmodels import atomic

STEPS_BEFORE_STAGES = ("source_snapshot", "checked_data", "records")
"""Names of the first steps; then comes one step for each stage of the training."""
STEPS_AFTER_STAGES = (
    "trained_model",
    "evaluation",
    "gate",
    "savedmodel",
    "published_version",
    "smoke_test",
)
"""Names of the steps after the training's last stage."""


@dataclass(frozen=True)
class StepCheck:
    """Result of a check after a step; a failed check is only a warning."""

    passed: bool
    reason: str


@dataclass(frozen=True)
class Done:
    """Result of a step that succeeded, for the log, Dagster's pages and the run's record."""

    facts: Mapping[str, str | int | float]  # Figures to show, by label.
    new: bool  # False if the step made nothing: its result existed already, or it only checks.
    pictures: tuple[Path, ...] = ()  # PNG files to show.
    files: Mapping[str, Path] = field(default_factory=dict)
    """Paths of reports, models and folders to show, by label."""
    checks: Mapping[str, StepCheck] = field(default_factory=dict)  # Results of checks by name.
    note: str = ""  # Remark in one line, recorded as the step's `reason`.


def step_names(stages: Sequence[Shape]) -> tuple[str, ...]:
    """Return the names of all steps in order, given the image size of each training stage."""
    return (
        *STEPS_BEFORE_STAGES,
        *(f"stage_{shape_name(shape)}" for shape in stages),
        *STEPS_AFTER_STAGES,
    )


def write_config(plan: Plan) -> Path:
    """Write a plan's configuration to a file for the option `--config`, and return its path."""
    file = plan.folder / "config.yaml"
    atomic.make_folder(file.parent)
    atomic.write_file(file, yaml.safe_dump(plan.config.model_dump(mode="json"), sort_keys=False))
    return file


def run_growgan(plan: Plan, log: Log, *arguments: str) -> str:
    """Run `growgan` in a subprocess for a plan, log its output, and return its standard output.

    Raises:
        StepFailed: if its exit status is not 0.
    """
    log_file = plan.project.logs / f"{plan.key}.log"
    return growgan(arguments, folder=plan.project.path, log_file=log_file, log=log)
