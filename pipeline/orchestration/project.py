"""Project of a scheduled pipeline: a folder with `pipeline.yaml` and all files of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from pipeline.config import Config, GateConfig
from pipeline.data.sources import Place, place_of
from pipeline.errors import UserError
from pipeline.evaluation.gate import SCORE_OF, require_answerable, rules_of
from pipeline.loading import Override, load, validate
from pipeline.orchestration.project_config import ProjectConfig
from pipeline.orchestration.runs.outcome import one_line
from pipeline.shape import Shape
from savedmodels import atomic
from savedmodels.repository.errors import RepositoryError
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers

PIPELINE = "pipeline.yaml"
LABEL: Final = "stable"
"""Label in the model repository: clients request it, and a run moves it to its new version."""


@dataclass(frozen=True)
class _Below:
    """Descriptor of a path below the project's folder."""

    name: str

    def __get__(self, project: Project, owner: type[Project]) -> Path:
        return project.path / self.name


@dataclass(frozen=True)
class Project:
    """Opened project, with the paths of its files; its configuration uses relative paths."""

    path: Path  # Folder of the project, absolute.
    config: ProjectConfig
    kept: Path | None = None
    """Copy by `keep_settings` that `config` was read from, None if from `pipeline.yaml`."""

    dagster_home = _Below("dagster")
    """Folder of Dagster's files, with `dagster.yaml`."""
    snapshots = _Below("snapshots")
    """Folder of the snapshots: copies of the pictures in the sources at the times of runs."""
    checks = _Below("checks")
    """Folder of the reports on the pictures of snapshots."""
    records = _Below("records")
    """Folder of the records: pictures prepared for training."""
    runs = _Below("runs")
    """Folder of the trainings, and the log directory for TensorBoard to compare them."""
    plans = _Below("plans")
    """Folder of the notes on finished steps."""
    logs = _Below("logs")
    """Folder of the logs of commands and of Dagster's processes."""
    trigger_errors = _Below("logs/complaints")  # Not renamed: existing projects have this folder.
    """Folder with the reasons why triggers could not read the sources."""
    run_lock = _Below(".run.lock")
    """Lock that a run in progress holds; the file contains the run's name."""
    up_lock = _Below(".up.lock")
    """Lock that `growgan pipeline up` holds."""

    @property
    def contract(self) -> Path | None:
        """File with the rules that pictures must keep, None if no rules are enforced."""
        given = self.config.contract
        return None if given is None else self.path / given

    @property
    def contract_text(self) -> str:
        """Text of the contract file as it is now; empty without one."""
        file = self.contract
        # Accept invalid UTF-8 here: the check of the pictures refuses it with a better message.
        return file.read_text(errors="replace") if file is not None and file.exists() else ""

    @property
    def repository(self) -> Repository:
        """Model repository of the project."""
        return Repository(self.path / self.config.repository.path)

    @property
    def stable_version(self) -> int | None:
        """Version that the label `stable` points to, None if it does not exist yet."""
        return self.repository.label_state(self.config.model).labels.get(LABEL)

    @property
    def watchers(self) -> Watchers:
        """Servers that watch the repository."""
        given = self.config.repository
        return Watchers(given.servers, given.wait_seconds, none=not given.servers)

    def places(self) -> tuple[Place, ...]:
        """Return the paths of the sources: folders, or one file; none for a name like `digits`.

        Raises:
            UserError: if a path is missing, or there are several sources and one is no folder.
        """
        found = []
        for given in self.config.sources:
            place = place_of(given, self.path)
            folder = place is not None and not place.before and place.path.is_dir()
            if len(self.config.sources) > 1 and not folder:
                raise UserError(
                    f"several `sources` must all be folders. Received: {given}, which is no folder"
                )
            if place is not None and not place.path.exists():
                raise UserError(f"`sources` must exist. Received: {given}")
            if place is not None:
                found.append(place)
        return tuple(found)

    def relative(self, path: Path) -> str:
        """Return the path of a file relative to the project, separated by `/`."""
        return path.relative_to(self.path).as_posix()

    def stages(self) -> tuple[Shape, ...]:
        """Return the image size of each stage: training grows the images from stage to stage."""
        return self.training_config().schedule.build().stages

    def training_config(self, data: Path | None = None) -> Config:
        """Build the configuration of a training and its evaluation from `pipeline.yaml`.

        Args:
            data: Folder of the records, None if not known yet.

        Raises:
            UserError: if a value is wrong.
        """
        given = self.config
        gate = (given.gate or GateConfig()).model_dump(mode="json")
        overrides: list[Override] = [*given.overrides, ("data.records", str(self.records))]
        overrides += [(f"gate.{key}", value) for key, value in gate.items()]
        preset = given.preset
        if preset.endswith((".yaml", ".yml")):
            preset = str(self.path / preset)
        return load(preset, overrides, data=None if data is None else str(data))


def yaml_text(value: object) -> str:
    """Format a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n...\n").removesuffix("\n")


def open_project(folder: Path, kept: Path | None = None) -> Project:
    """Open the project in a folder, and check its configuration.

    Args:
        folder: Folder of the project.
        kept: File that `keep_settings` wrote, None for `pipeline.yaml` as it is now.

    Raises:
        UserError: if the folder has no project, or its configuration is wrong.
    """
    path = folder.resolve()
    file = kept or path / PIPELINE
    try:
        values = yaml.safe_load(file.read_text())
    except FileNotFoundError as error:
        raise UserError(
            f"a project must have a {PIPELINE}, which `growgan pipeline init` writes. "
            f"Received: {path}, without one"
        ) from error
    except OSError as error:
        raise UserError(
            f"a {PIPELINE} must be readable. Received: {file}: {error.strerror}"
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"a {PIPELINE} must be YAML. Received: {file}: {one_line(str(error))}"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"a {PIPELINE} must be a mapping of keys. Received: {file}")
    # Check everything now, so that no mistake ends a run after hours of training.
    project = Project(path, validate(ProjectConfig, values), kept)
    config = project.training_config()
    _require_volume(project)
    if project.config.gate is not None and not rules_of(project.config.gate):
        raise UserError(f"`gate` must have a rule: {', '.join(SCORE_OF)}. Received: none")
    require_answerable(config.gate, config.evaluation)
    try:
        project.repository.folder_of(project.config.model)
        project.repository.require_servable(project.config.repository.served_at)
    except RepositoryError as error:
        raise UserError(str(error)) from error
    return project


def keep_settings(project: Project, folder: Path) -> None:
    """Copy the configuration into a run's folder, so that later edits do not change the run."""
    config = project.config
    if config.preset.endswith((".yaml", ".yml")):
        kept = folder / "preset.yaml"  # Copy the preset too: it may change during the run.
        atomic.write_file(kept, (project.path / config.preset).read_bytes())
        config = config.model_copy(update={"preset": str(kept.relative_to(project.path))})
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    atomic.write_file(folder / PIPELINE, text)


def _require_volume(project: Project) -> None:
    kubernetes = project.config.training.kubernetes
    if kubernetes is not None and not project.path.is_relative_to(kubernetes.mount_path):
        raise UserError(
            "a project that trains on Kubernetes must lie on the volume of its pods, below "
            f"`training.kubernetes.mount_path`. Received: {project.path} and "
            f"{kubernetes.mount_path}"
        )
