"""Content of `pipeline.yaml`: the settings of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.functional_validators import AfterValidator

from pipeline.config import GateConfig, Section
from pipeline.orchestration.kubernetes.job import KubernetesConfig
from pipeline.orchestration.runs.notifications import NotificationsConfig
from pipeline.section import Count, Images, Rate
from savedmodels.repository.servers import server_url

Port = Annotated[int, Field(ge=0, le=65535)]


def _cron(text: str) -> str:
    if len(text.split()) != 5:
        raise ValueError("must have five fields, such as `0 2 * * *` for every night at two")
    return text


class NewDataConfig(Section):
    """Conditions under which pictures that arrive start a run."""

    least: Count = 1
    """Number of new pictures that start a run; those of the last run are not new."""
    quiet_seconds: Annotated[float, Field(ge=0)] = 300.0
    """Seconds without a change in the sources before a run starts: pictures may still be copied."""
    every_seconds: Count = 30
    """Seconds between two looks at the sources."""


class TriggersConfig(Section):
    """Triggers of runs; both may be left out."""

    cron: Annotated[str, AfterValidator(_cron)] | None = None
    """Minute, hour, day of the month, month, day of the week, as in cron; None for never."""
    timezone: str = "UTC"
    new_data: NewDataConfig | None = NewDataConfig()
    """Pictures that arrive, None if they start nothing."""
    when_busy: Literal["wait", "skip"] = "wait"
    """Rule for a run that is due while another of this project is in progress: it waits for its
    turn, or is skipped; new pictures then start one later."""


class TrainingConfig(Section):
    """Execution of the heavy steps; nothing here changes their results."""

    workers: Count | None = None
    """Number of processes that train together, on this machine or each in a pod of `kubernetes`;
    None for one process, with the strategy of `run.strategy`."""
    warm_start: bool = False
    """True to start from the promoted weights; the schedule must begin at their resolution."""
    beam: str | None = None
    """Options of an Apache Beam pipeline that writes the records, None for processes here."""
    kubernetes: KubernetesConfig | None = None
    """Cluster on which trainings run as Jobs, None for this machine."""


class RepositoryConfig(Section):
    """Model repository, and the servers that watch it."""

    path: Path = Path("models")
    served_at: str | None = None
    """Path of the repository as servers see it, None for the same."""
    servers: tuple[Annotated[str, AfterValidator(server_url)], ...] = ()
    """REST interfaces of all servers that watch it, such as `http://127.0.0.1:8501`. Without any,
    labels move at once. The environment variable `GROWGAN_SERVE_TOKEN` has the API token."""
    wait_seconds: Rate = 300.0
    """Seconds that servers may take to load a version."""
    keep: Count | None = None
    """Number of newest versions that are kept, None for all."""


class RetriesConfig(Section):
    """Retries after failures that may pass, such as a lost worker."""

    most: Images = 3
    """Number of attempts of a step after its first."""
    first_seconds: Rate = 30.0
    """Seconds before the second attempt; twice as long before each further one."""


class ProjectConfig(Section):
    """Content of `pipeline.yaml`."""

    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Name of the model in the repository."""
    sources: tuple[str, ...] = Field(min_length=1)
    """Folders in which pictures arrive, taken together; or one source of another kind, as
    `growgan train --data` takes it."""
    preset: str
    """Preset or YAML file, as `growgan train --config` takes it."""
    overrides: tuple[str, ...] = ()
    """Overrides `section.key=value`, as `growgan train --set` takes them."""
    contract: Path | None = Path("contract.yaml")
    """Rules that pictures must keep; the first run writes the file from its pictures if there is
    none. None enforces nothing."""
    gate: GateConfig | None = None
    """Scores that a model must reach to be promoted, None if scores decide nothing."""
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
