"""Settings of a project: the keys of `pipeline.yaml`, their defaults and their checks."""

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
    """Conditions for new pictures to start a run."""

    least: Count = 1
    """Minimum number of pictures that are new since the last run."""
    quiet_seconds: Annotated[float, Field(ge=0)] = 300.0
    """Seconds without a change in the sources before a run starts, so that copying can finish."""
    every_seconds: Count = 30
    """Seconds between two checks of the sources."""


class TriggersConfig(Section):
    """Triggers of runs: times (`cron`), new pictures (`new_data`), both or neither."""

    cron: Annotated[str, AfterValidator(_cron)] | None = None
    """Times of runs: minute, hour, day of the month, month and day of the week; None for none."""
    timezone: str = "UTC"
    """Time zone of `cron`, such as `Europe/Berlin`."""
    new_data: NewDataConfig | None = NewDataConfig()
    """Conditions for new pictures to start a run, None if they start none."""
    when_busy: Literal["wait", "skip"] = "wait"
    """Rule for a run that is due while another run of this project is in progress: wait for its
    end, or skip the new run. After a skip, the pictures still count as new at the next check."""


class TrainingConfig(Section):
    """Ways to prepare records and to train."""

    workers: Count | None = None
    """Number of processes that share a training, on this machine or one in each pod of
    `kubernetes`; None for one process, with the strategy of `run.strategy`."""
    warm_start: bool = False
    """True to start from the promoted weights; the schedule must begin at their resolution."""
    beam: str | None = None
    """Options of an Apache Beam pipeline that prepares the records, None for local processes."""
    kubernetes: KubernetesConfig | None = None
    """Kubernetes cluster that trains, None to train on this machine."""


class RepositoryConfig(Section):
    """Model repository that runs publish to, and the servers that load models from it."""

    path: Path = Path("models")
    """Folder of the repository."""
    served_at: str | None = None
    """Path of the repository on the servers, None if it is the same."""
    servers: tuple[Annotated[str, AfterValidator(server_url)], ...] = ()
    """REST URLs of all servers of the repository, such as `http://127.0.0.1:8501`. Without servers,
    labels move at once. The environment variable `GROWGAN_SERVE_TOKEN` has the API token."""
    wait_seconds: Rate = 300.0
    """Seconds to wait for servers to load a version."""
    keep: Count | None = None
    """Number of newest versions to keep, None to keep all."""


class RetriesConfig(Section):
    """Retries of a step after a failure that may pass, such as a lost worker."""

    most: Images = 3
    """Maximum number of attempts after the first."""
    first_seconds: Rate = 30.0
    """Seconds before the second attempt; doubled before each further attempt."""


class ProjectConfig(Section):
    """Content of `pipeline.yaml`."""

    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Name of the model in the repository."""
    sources: tuple[str, ...] = Field(min_length=1)
    """Folders in which pictures arrive, used as one set; or one source of another kind, as
    `growgan train --data` takes it."""
    preset: str
    """Training configuration: a preset or YAML file, as `growgan train --config` takes it."""
    overrides: tuple[str, ...] = ()
    """Overrides `section.key=value`, as `growgan train --set` takes them."""
    contract: Path | None = Path("contract.yaml")
    """File with the rules that pictures must keep. If it is missing, the first run writes it from
    its pictures. None enforces no rules."""
    gate: GateConfig | None = None
    """Scores that a model must reach to be promoted, None to promote whatever the scores are."""
    training: TrainingConfig = TrainingConfig()
    repository: RepositoryConfig = RepositoryConfig()
    schedule: TriggersConfig = TriggersConfig()
    retries: RetriesConfig = RetriesConfig()
    notifications: NotificationsConfig = NotificationsConfig()
    port: Port = 3000
    """Port of Dagster's user interface, which only this machine can reach."""

    @model_validator(mode="after")
    def _refuse_keys_set_elsewhere(self) -> ProjectConfig:
        for override in self.overrides:
            if override.startswith(("gate.", "data.source=", "data.records=")):
                raise ValueError(
                    "`overrides` must leave `gate`, `data.source` and `data.records` to the keys "
                    f"`gate` and `sources`. Received: {override}"
                )
        return self
