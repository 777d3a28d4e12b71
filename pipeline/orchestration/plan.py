"""Plan of a run: where the result of each step goes, for one snapshot and configuration.

The name of a result is a hash of all inputs that decide it. So a run with the same inputs finds the
result and does not make it again.
"""

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
    """Record of how the last run of a plan ended, in `ended.json`."""

    run: str
    """Name of the run in the history."""
    verdict: Ending
    reason: str
    final: bool
    """True if a repeat would end the same: no trigger starts one until the settings change."""
    settings: str | None = None
    """`Plan.settings` at that time; None if an earlier version of growgan did not record it."""


@dataclass(frozen=True)
class Plan:
    """Names of all results of a run, derived from a snapshot and the project's configuration.

    A file or folder that exists under its name is complete, and is not made again. A changed `gate`
    or repository gives another plan with the same training and scores. A changed schedule gives
    another training on the same records.
    """

    project: Project
    snapshot: Snapshot

    @cached_property
    def config(self) -> Config:
        """Configuration for the training and evaluation of this run."""
        return self.project.training_config(self.records)

    @cached_property
    def records(self) -> Path:
        """Folder of the records: the pictures prepared for training."""
        config = self.project.training_config()
        decides = {name: getattr(config.data, name) for name in DECIDING_RECORDS}
        decides["resolution"] = config.schedule.resolution
        # Add the width only if set: records of square images keep their names in old projects.
        if config.schedule.width is not None:
            decides["width"] = config.schedule.width
        return self.project.records / _digest(self.snapshot.content_hash, decides)

    @cached_property
    def run(self) -> RunFolder:
        """Folder of the training: checkpoints, samples and SavedModels."""
        warm = self.project.config.training.warm_start
        return RunFolder(
            self.project.runs / _digest(self.records.name, decisive_settings(self.config), warm)
        )

    @cached_property
    def key(self) -> str:
        """Name of the plan, and of its folder."""
        gate = None if self.project.config.gate is None else self.config.gate.model_dump()
        return _digest(self.scores_folder.name, gate, self.destination)

    @property
    def settings(self) -> str:
        """Hash of all settings that may decide how a run of the plan ends."""
        # Include more than `key`: a contract, servers or machines do not change results, but may be
        # the reason why a run failed.
        given = self.project.config.model_dump(
            mode="json", include={"contract", "training", "repository"}
        )
        return _digest(given, self.config.model_dump(mode="json"), self.project.contract_text)

    @property
    def folder(self) -> Path:
        """Folder with this plan's notes, such as `published.json`."""
        return self.project.plans / self.key

    @cached_property
    def scores_folder(self) -> Path:
        """Folder with the notes on scores, shared by plans that differ in gate or destination."""
        evaluation = self.config.evaluation.model_dump(mode="json")
        return self.project.plans / _digest(self.run.path.name, evaluation)

    @property
    def destination(self) -> str:
        """Hash of the model's name and repository, which together number the versions."""
        return destination_of(self.project)

    def check_folder(self, contract: str) -> Path:
        """Return the folder of the report on the pictures, given the contract's text."""
        return self.project.checks / _digest(self.snapshot.content_hash, contract)

    def read_note(self, name: Note) -> dict[str, Any] | None:
        """Read the note on a finished step, None if there is none."""
        try:
            noted: dict[str, Any] = json.loads(self._note_file(name).read_text())
        except (FileNotFoundError, ValueError):  # Without a valid note, the step runs again.
            return None
        return noted

    def write_note(self, name: Note, **facts: Any) -> None:
        """Write the note on a finished step; it is on the disk when this returns."""
        file = self._note_file(name)
        atomic.make_folder(file.parent)
        atomic.write_file(file, json.dumps(facts, indent=2) + "\n")

    def read_end(self) -> Ended | None:
        """Read how the last run of this plan ended, None if none has ended."""
        noted = self.read_note("ended")
        return None if noted is None else Ended(**noted)

    def read_end_if_same_settings(self) -> Ended | None:
        """Read how the last run ended, None without one or if it failed with other settings."""
        ended = self.read_end()
        # Other settings do not undo a promotion.
        if ended is None or ended.verdict == "promoted":
            return ended
        return ended if ended.settings in (None, self.settings) else None

    def _note_file(self, name: Note) -> Path:
        # Plans that differ only in gate or destination share the notes on these two steps.
        folders = {
            "evaluated": self.scores_folder,
            "verified": self.project.plans / self.run.path.name,
        }
        return folders.get(name, self.folder) / f"{name}.json"


def plan_of(project: Project, key: str) -> Plan:
    """Return the plan of a project's snapshot, given the snapshot's key."""
    return Plan(project, snapshot_of(project, key))


def destination_of(project: Project) -> str:
    """Return a hash of the name of a project's model and the path of its repository."""
    return _digest(project.config.model, str(project.config.repository.path))


def run_behind(project: Project, version: int) -> RunFolder | None:
    """Find the training of a published version, None if it was removed or is another project's."""
    destination = destination_of(project)
    for file in sorted(project.plans.glob("*/published.json")):
        noted = json.loads(file.read_text())
        run = RunFolder(project.path / noted["run"])
        same = (noted.get("destination"), noted["version"]) == (destination, version)
        if same and run.exists():
            return run
    return None


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)  # `str` converts paths.
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT]
