"""The folder of a scheduled pipeline: what `pipeline.yaml` says, and where everything lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, model_validator
from pydantic.functional_validators import AfterValidator

from pipeline.config import Config, GateConfig, Section
from pipeline.data.sources.place import Place, place_of
from pipeline.errors import UserError
from pipeline.evaluation.gate import SCORE_OF, require_answerable, rules_of
from pipeline.loading import Override, load, validated
from pipeline.orchestration.job import KubernetesConfig
from pipeline.orchestration.notifications import NotificationsConfig
from pipeline.orchestration.outcome import one_line
from pipeline.section import Count, Images, Rate
from pipeline.shape import Shape
from savedmodels import atomic
from savedmodels.repository.errors import RepositoryError
from savedmodels.repository.publisher import Label
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers, server_url

PIPELINE = "pipeline.yaml"
LABEL: Label = "stable"
"""Label that runs move, and that clients ask for."""
Port = Annotated[int, Field(ge=0, le=65535)]


def _cron(text: str) -> str:
    if len(text.split()) != 5:
        raise ValueError("must have five fields, such as `0 2 * * *` for every night at two")
    return text


class NewDataConfig(Section):
    """When pictures that arrive start a run."""

    least: Count = 1
    """Fewest pictures that the last run did not have."""
    quiet_seconds: Annotated[float, Field(ge=0)] = 300.0
    """For so long nothing may have changed in the sources: what is still being copied is not
    taken."""
    every_seconds: Count = 30
    """Between two looks at the sources."""


class TriggersConfig(Section):
    """Triggers that start runs; both may be left out."""

    cron: Annotated[str, AfterValidator(_cron)] | None = None
    """Minute, hour, day of the month, month, day of the week, as in cron; None for never."""
    timezone: str = "UTC"
    """Time zone of `cron`."""
    new_data: NewDataConfig | None = NewDataConfig()
    """Pictures that arrive, None if they start nothing."""
    when_busy: Literal["wait", "skip"] = "wait"
    """What becomes of a run that is to start while another of this project is under way: it waits
    for its turn, or is left out; what is new then starts one later."""


class TrainingConfig(Section):
    """Execution of the heavy steps; nothing here changes their results."""

    workers: Count | None = None
    """Processes that train together, on this machine or each in a pod of `kubernetes`; None for
    one, by the strategy that `run.strategy` says."""
    warm_start: bool = False
    """Whether a run starts from the weights of the version that `stable` stands at; its schedule
    has to begin at the resolution of that version."""
    beam: str | None = None
    """Options of an Apache Beam pipeline that writes the records, None for processes here."""
    kubernetes: KubernetesConfig | None = None
    """Where trainings run as Jobs, None for this machine."""


class RepositoryConfig(Section):
    """Model repository, and the servers that watch it."""

    path: Path = Path("models")
    """Folder of the model repository."""
    served_at: str | None = None
    """Its path as servers see it, None for the same."""
    servers: tuple[Annotated[str, AfterValidator(server_url)], ...] = ()
    """REST interfaces of all servers that watch it, such as `http://127.0.0.1:8501`; none if no
    server watches yet: labels then move without waiting. What asks for an API token is given that
    of the environment variable `GROWGAN_SERVE_TOKEN`."""
    wait_seconds: Rate = 300.0
    """How long servers may take to load a version."""
    keep: Count | None = None
    """Newest versions that are kept, None for all."""


class RetriesConfig(Section):
    """Retries after failures that may pass, such as a lost worker."""

    most: Images = 3
    """Attempts of a step after its first."""
    first_seconds: Rate = 30.0
    """Before the second attempt; twice as long before each further one."""


class ProjectConfig(Section):
    """Content of `pipeline.yaml`."""

    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Name of the model in the repository."""
    sources: tuple[str, ...] = Field(min_length=1)
    """Folders in which pictures arrive, taken together; or one source of another kind, as
    `growgan train --data` takes it."""
    preset: str
    """A preset, or the path of a YAML file, as `growgan train --config` takes it."""
    overrides: tuple[str, ...] = ()
    """`section.key=value`, as `growgan train --set` takes it."""
    contract: Path | None = Path("contract.yaml")
    """Rules that pictures must keep. Where there is no such file, the first run writes it from its
    pictures. None if nothing is enforced."""
    gate: GateConfig | None = None
    """What a model must score to be promoted, None if scores decide nothing."""
    training: TrainingConfig = TrainingConfig()
    repository: RepositoryConfig = RepositoryConfig()
    schedule: TriggersConfig = TriggersConfig()
    retries: RetriesConfig = RetriesConfig()
    notifications: NotificationsConfig = NotificationsConfig()
    port: Port = 3000
    """Port of the user interface, which only this machine can reach."""

    @model_validator(mode="after")
    def _gate_is_said_once(self) -> ProjectConfig:
        for override in self.overrides:
            if override.startswith(("gate.", "data.source=", "data.records=")):
                raise ValueError(
                    "`overrides` must leave `gate`, `data.source` and `data.records` to the keys "
                    f"`gate` and `sources`. Received: {override}"
                )
        return self


@dataclass(frozen=True)
class Project:
    """A project as it is read; paths in its file are relative to its folder.

    Args:
        path: Its folder, absolute.
        config: Content of its file.
        kept: The file, if it is not its own but what `keep_settings` wrote.
    """

    path: Path
    config: ProjectConfig
    kept: Path | None = None

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster's files, with `dagster.yaml`."""
        return self.path / "dagster"

    @property
    def snapshots(self) -> Path:
        """The pictures of the sources as runs took them."""
        return self.path / "snapshots"

    @property
    def checks(self) -> Path:
        """Reports on snapshots."""
        return self.path / "checks"

    @property
    def records(self) -> Path:
        """Prepared sets."""
        return self.path / "records"

    @property
    def runs(self) -> Path:
        """Trained runs; TensorBoard compares them with this as its root."""
        return self.path / "runs"

    @property
    def plans(self) -> Path:
        """Folder with the notes on plans."""
        return self.path / "plans"

    @property
    def logs(self) -> Path:
        """Folder of the logs of processes."""
        return self.path / "logs"

    @property
    def complaints(self) -> Path:
        """Why triggers could not look at the sources."""
        return self.logs / "complaints"

    @property
    def contract(self) -> Path | None:
        """The rules for pictures."""
        given = self.config.contract
        return None if given is None else self.path / given

    @property
    def rules(self) -> str:
        """The text of the contract as it is now; empty without one."""
        file = self.contract
        # What is no text is for the check of the pictures to refuse.
        return file.read_text(errors="replace") if file is not None and file.exists() else ""

    @property
    def repository(self) -> Repository:
        """Model repository of the project."""
        return Repository(self.path / self.config.repository.path)

    @property
    def run_lock(self) -> Path:
        """Held while a run goes, whose name it bears."""
        return self.path / ".run.lock"

    @property
    def up_lock(self) -> Path:
        """Held by `growgan pipeline up`."""
        return self.path / ".up.lock"

    @property
    def watchers(self) -> Watchers:
        """The servers that watch the repository."""
        given = self.config.repository
        return Watchers(given.servers, given.wait_seconds, none=not given.servers)

    def places(self) -> tuple[Place, ...]:
        """The folders in which pictures arrive, or the one file; none of a source without a place.

        Raises:
            UserError: if one is not there, or several are not all folders.
        """
        found = []
        for given in self.config.sources:
            place = place_of(given, self.path)
            folder = place is not None and not place.before and place.path.is_dir()
            if len(self.config.sources) > 1 and not folder:
                raise UserError(
                    f"several `sources` must all be folders. Received: {given}, which is none"
                )
            if place is not None and not place.path.exists():
                raise UserError(f"`sources` must be there. Received: {given}")
            if place is not None:
                found.append(place)
        return tuple(found)

    def stages(self) -> tuple[Shape, ...]:
        """Heights and widths of the images of each stage of the schedule.

        Raises:
            UserError: if the configuration of trainings is wrong.
        """
        return self.training_config().schedule.build().stages

    def training_config(self, data: Path | None = None) -> Config:
        """The configuration that runs are trained and measured with.

        Args:
            data: The prepared set, None where it is not known yet.

        Raises:
            UserError: if anything in it is wrong.
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
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n...\n").removesuffix("\n")


def open_project(folder: Path, kept: Path | None = None) -> Project:
    """The project in a folder.

    Args:
        folder: Folder of the project.
        kept: File that `keep_settings` wrote, None for its own `pipeline.yaml` as it is now.

    Raises:
        UserError: if there is none, or anything in its file is wrong.
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
    project = Project(path, validated(ProjectConfig, values), kept)
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
    """Write the configuration into a folder of the project, where later changes do not reach it."""
    config = project.config
    if config.preset.endswith((".yaml", ".yml")):
        kept = folder / "preset.yaml"
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
