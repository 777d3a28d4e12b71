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
from pipeline.evaluation.scores import JsonRecord
from pipeline.loading import decisive_settings
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.outcome import Ending
from pipeline.orchestration.snapshots import SHORT, Snapshot, snapshot_of
from pipeline.training_run.folder import RunFolder
from savedmodels import atomic

Note = Literal["evaluated", "verified", "published", "tested", "ended"]


class Ended(JsonRecord):
    """End of a plan's last run."""

    run: str
    """Name of the run in the history."""
    verdict: Ending
    reason: str
    final: bool
    """True if it would end so again: no trigger starts it until the settings change."""
    settings: str | None = None
    """Settings of the plan then; None if an earlier version of growgan did not record them."""


@dataclass(frozen=True)
class Plan:
    """A snapshot and a configuration, from which follow the names of all that a run makes.

    A file or folder of such a name is whole, and is not made again. A changed `gate` or another
    repository leads to another plan with the same training and scores, a changed schedule to
    another training of the same records.
    """

    project: Project
    snapshot: Snapshot

    @cached_property
    def config(self) -> Config:
        """Configuration that the run is trained and measured with."""
        return self.project.training_config(self.records)

    @cached_property
    def records(self) -> Path:
        """Folder of the prepared set."""
        config = self.project.training_config()
        decides = {name: getattr(config.data, name) for name in DECIDING_RECORDS}
        decides["resolution"] = config.schedule.resolution
        if config.schedule.width is not None:  # Squares keep the names that projects hold.
            decides["width"] = config.schedule.width
        return self.project.records / _digest(self.snapshot.content_hash, decides)

    @cached_property
    def run(self) -> RunFolder:
        """Run folder of the training."""
        warm = self.project.config.training.warm_start
        return RunFolder(
            self.project.runs / _digest(self.records.name, decisive_settings(self.config), warm)
        )

    @cached_property
    def key(self) -> str:
        """Name of the plan."""
        gate = None if self.project.config.gate is None else self.config.gate.model_dump()
        return _digest(self.measured.name, gate, self.destination)

    @property
    def settings(self) -> str:
        """Digest of all settings that may decide how a run of the plan ends."""
        # More than `key`: bounds, servers and machines change nothing that a run makes, but may
        # be what it failed for.
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
        """Digest of the model and its repository, in which versions have their numbers."""
        return destination_of(self.project)

    def checked(self, contract: str) -> Path:
        """Return the folder of the report on the pictures, by the text of their contract."""
        return self.project.checks / _digest(self.snapshot.content_hash, contract)

    def read_note(self, name: Note) -> dict[str, Any] | None:
        """Read the note on a step, None if there is none."""
        try:
            noted: dict[str, Any] = json.loads(self._note_file(name).read_text())
        except (FileNotFoundError, ValueError):  # Without a whole note, the step is done again.
            return None
        return noted

    def write_note(self, name: Note, **facts: Any) -> None:
        """Write the note on a step; it is on the disk when this returns."""
        file = self._note_file(name)
        atomic.make_folder(file.parent)
        atomic.write_file(file, json.dumps(facts, indent=2) + "\n")

    def ended(self) -> Ended | None:
        """Read how the last run of this plan ended, None if none has."""
        noted = self.read_note("ended")
        return None if noted is None else Ended(**noted)

    def ended_with_same_settings(self) -> Ended | None:
        """Read how the last run ended, None if none has with the present settings."""
        ended = self.ended()
        # A promoted version stays so, whatever the settings are now.
        if ended is None or ended.verdict == "promoted":
            return ended
        return ended if ended.settings in (None, self.settings) else None

    def _note_file(self, name: Note) -> Path:
        # A folder is named by all that decides the note, and by nothing else.
        folders = {
            "evaluated": self.measured,
            "verified": self.project.plans / self.run.path.name,
        }
        return folders.get(name, self.folder) / f"{name}.json"


def plan_of(project: Project, key: str) -> Plan:
    """Return the plan of a snapshot."""
    return Plan(project, snapshot_of(project, key))


def destination_of(project: Project) -> str:
    """Return a digest of a project's model and repository."""
    return _digest(project.config.model, str(project.config.repository.path))


def run_behind(project: Project, version: int) -> RunFolder | None:
    """Find the training behind a version, None if it is gone or not of this project."""
    destination = destination_of(project)
    for file in sorted(project.plans.glob("*/published.json")):
        noted = json.loads(file.read_text())
        run = RunFolder(project.path / noted["run"])
        same = (noted.get("destination"), noted["version"]) == (destination, version)
        if same and run.exists():
            return run
    return None


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)  # `str`, for paths.
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT]
