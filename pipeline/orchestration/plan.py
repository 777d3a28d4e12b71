"""Plan of a run: the results to make of a snapshot, each named by all that decides it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pipeline.config import Config
from pipeline.config.data import DECIDING_RECORDS
from pipeline.evaluation.scores import Record
from pipeline.loading import decisive
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.outcome import Ending
from pipeline.orchestration.snapshots import SHORT, Snapshot, snapshot_of
from pipeline.run_folder import RunFolder
from savedmodels import atomic

Mark = Literal["evaluated", "verified", "published", "tested", "ended"]


class Ended(Record):
    """End of a plan's last run."""

    run: str
    """Its name in the history."""
    verdict: Ending
    """How."""
    reason: str
    """Why, in one line."""
    final: bool
    """Whether it would end so again: nothing starts it by itself, until its settings change."""
    settings: str | None = None
    """Settings of its plan then, or None if an earlier version of growgan did not record them."""


@dataclass(frozen=True)
class Plan:
    """A snapshot and a configuration: from them follow the names of all that a run makes.

    What is there under such a name is whole, and is not made again. A changed `gate` or another
    repository leads to another plan with the same training and scores, a changed schedule to
    another training of the same records.

    Args:
        project: Project whose configuration holds.
        snapshot: The pictures.
    """

    project: Project
    snapshot: Snapshot

    @cached_property
    def config(self) -> Config:
        """With which the run is trained and measured."""
        return self.project.training_config(self.records)

    @cached_property
    def records(self) -> Path:
        """The prepared set."""
        config = self.project.training_config()
        decides = {name: getattr(config.data, name) for name in DECIDING_RECORDS}
        decides["resolution"] = config.schedule.resolution
        if config.schedule.width is not None:
            decides["width"] = config.schedule.width
        return self.project.records / _digest(self.snapshot.content_hash, decides)

    @cached_property
    def run(self) -> RunFolder:
        """The training."""
        warm = self.project.config.training.warm_start
        return RunFolder(
            self.project.runs / _digest(self.records.name, decisive(self.config), warm)
        )

    @cached_property
    def key(self) -> str:
        """Names the plan."""
        gate = None if self.project.config.gate is None else self.config.gate.model_dump()
        return _digest(self.measured.name, gate, self.destination)

    @property
    def settings(self) -> str:
        """Changes with all that may decide how a run of the plan ends.

        More than `key`: bounds, servers and machines change nothing that a run makes, but may be
        what it has failed for.
        """
        given = self.project.config.model_dump(
            mode="json", include={"contract", "training", "repository"}
        )
        return _digest(given, self.config.model_dump(mode="json"), self.project.rules)

    @property
    def folder(self) -> Path:
        """Folder with the notes on this plan's steps."""
        return self.project.plans / self.key

    @cached_property
    def measured(self) -> Path:
        """Folder with the notes on scores: the same for every gate and destination."""
        evaluation = self.config.evaluation.model_dump(mode="json")
        return self.project.plans / _digest(self.run.path.name, evaluation)

    @property
    def destination(self) -> str:
        """Names the model in its repository, in which versions have their numbers."""
        return destination_of(self.project)

    def checked(self, contract: str) -> Path:
        """The report on the pictures, by the rules that they were held to."""
        return self.project.checks / _digest(self.snapshot.content_hash, contract)

    def mark(self, name: Mark) -> dict[str, Any] | None:
        """Read the note on a step, None if there is none."""
        try:
            noted: dict[str, Any] = json.loads(self._marked(name).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return noted

    def note(self, name: Mark, **facts: Any) -> None:
        """Note of a step that it is done; it is on the disk when this returns."""
        file = self._marked(name)
        atomic.make_folder(file.parent)
        atomic.write_file(file, json.dumps(facts, indent=2) + "\n")

    def ended(self) -> Ended | None:
        """Read how the last run of this plan ended, None if none has."""
        noted = self.mark("ended")
        return None if noted is None else Ended(**noted)

    def ended_so(self) -> Ended | None:
        """Read how the last run ended, None if none has with the present settings.

        What is promoted stays so whatever they are.
        """
        ended = self.ended()
        if ended is None or ended.verdict == "promoted":
            return ended
        return ended if ended.settings in (None, self.settings) else None

    def _marked(self, name: Mark) -> Path:
        """Return the file of a note: under all that decides it, and nothing else."""
        folders = {
            "evaluated": self.measured,
            "verified": self.project.plans / self.run.path.name,
        }
        return folders.get(name, self.folder) / f"{name}.json"


def plan_of(project: Project, key: str) -> Plan:
    """The plan for a snapshot that was taken.

    Raises:
        UserError: if there is no such snapshot.
    """
    return Plan(project, snapshot_of(project, key))


def destination_of(project: Project) -> str:
    """Names a project's model in its repository."""
    return _digest(project.config.model, str(project.config.repository.path))


def run_behind(project: Project, version: int) -> RunFolder | None:
    """The training behind a version, None if it is gone or not of this project."""
    destination = destination_of(project)
    for file in sorted(project.plans.glob("*/published.json")):
        noted = json.loads(file.read_text())
        run = RunFolder(project.path / noted["run"])
        same = (noted.get("destination"), noted["version"]) == (destination, version)
        if same and run.exists():
            return run
    return None


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT]
