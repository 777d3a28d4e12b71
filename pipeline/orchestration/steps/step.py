"""Order and results of the steps of a pipeline run, and how steps run `growgan`.

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
"""Names of the first steps; a step per resolution follows."""
STEPS_AFTER_STAGES = (
    "trained_model",
    "evaluation",
    "gate",
    "savedmodel",
    "published_version",
    "smoke_test",
)
"""Names of the steps after the last resolution."""


@dataclass(frozen=True)
class StepCheck:
    """Result of a check after a step: one that fails is shown as a warning, and stops nothing."""

    passed: bool
    reason: str


@dataclass(frozen=True)
class Done:
    """Result of a step."""

    facts: Mapping[str, str | int | float]
    """Figures for the page of the run, by label."""
    new: bool
    """False if the step made nothing: its result was there already, or it only checks."""
    pictures: tuple[Path, ...] = ()
    """PNG files for the page of the run."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Reports, models and folders by name."""
    checks: Mapping[str, StepCheck] = field(default_factory=dict)
    note: str = ""
    """Remark in one line; the run keeps it as the step's `reason`."""


def step_names(stages: Sequence[Shape]) -> tuple[str, ...]:
    """Return the names of all steps in order, from the ascending image shapes of the stages."""
    return (
        *STEPS_BEFORE_STAGES,
        *(f"stage_{shape_name(shape)}" for shape in stages),
        *STEPS_AFTER_STAGES,
    )


def write_config(plan: Plan) -> Path:
    """Write the configuration of a plan to a file for `growgan --config`, and return its path."""
    file = plan.folder / "config.yaml"
    atomic.make_folder(file.parent)
    atomic.write_file(file, yaml.safe_dump(plan.config.model_dump(mode="json"), sort_keys=False))
    return file


def run_growgan(plan: Plan, log: Log, *arguments: str) -> str:
    """Run `growgan` in a process, append its output to the plan's log, and return what it printed.

    Raises:
        StepFailed: if its exit status is not 0.
    """
    log_file = plan.project.logs / f"{plan.key}.log"
    return growgan(arguments, folder=plan.project.path, log_file=log_file, log=log)
