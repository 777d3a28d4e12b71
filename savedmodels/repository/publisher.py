"""Publish, promote, roll back and remove versions of a model, for `growgan publish`.

After a kill at any point, the next publisher completes what was decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from savedmodels import atomic
from savedmodels.repository.errors import GateRefused, RepositoryError
from savedmodels.repository.history import Event, Kind, LabelState, Pending, append_event
from savedmodels.repository.repository import OnWait, Repository, lock_model
from savedmodels.repository.servers import (
    LoadFailed,
    NotYet,
    Watchers,
    failures,
    wait_until_available,
    wait_until_labelled,
)
from savedmodels.repository.versions import (
    About,
    Gate,
    Publication,
    add_version,
    content_hash,
    files_of,
    lineage_of,
    publication_of,
    timestamp,
    versions_in,
)

Label: TypeAlias = Literal["stable", "canary"]
"""Name that clients ask for: `stable` for all of them, `canary` for trials of a version."""


@dataclass(frozen=True)
class Published:
    """Result of `Publisher.publish`: version of the SavedModel in the repository."""

    version: int
    new: bool  # False if the repository already had a version with the same content.


@dataclass(frozen=True)
class Promotion:
    """Result of a request to move a label."""

    label: str
    version: int | None
    """Version to move to. After a rollback of a waiting move: version to stay at, None if none."""
    moved: bool  # True if the label is at that version now.
    reason: str | None = None
    """Reason to repeat the request later, such as servers that have not loaded the version yet."""


def require_gate(label: str, gate: Gate | None, *, force: bool) -> None:
    """Raise `GateRefused` if `stable` would move to a failed version; `force` allows the move."""
    if label == "stable" and gate is not None and not gate.passed and not force:
        raise GateRefused(
            "`stable` moves only to a version that the gate has not failed, unless by `--force`. "
            f"Received: {'; '.join(gate.reasons)}"
        )


@contextmanager
def publisher_of(
    repository: Repository,
    model: str,
    *,
    served_at: str | None = None,
    on_wait: OnWait = lambda _: None,
) -> Iterator[Publisher]:
    """Lock a model and yield its publisher, after a wait for other publishers of the model.

    Args:
        repository: Repository; its folder is made if it is missing.
        model: Name of the model.
        served_at: Path of the repository as servers see it; None to keep the last one given.
        on_wait: Called with the path of the lock file before a wait.

    Raises:
        RepositoryError: if the model's name is invalid, its history is damaged, or servers
            cannot load models from `served_at`.
        OSError: if the repository cannot be written.
    """
    if served_at is not None:
        repository.require_servable(served_at)
    with lock_model(repository, model, on_wait) as folder:
        publisher = Publisher(repository, model, folder, served_at)
        publisher.catch_up()
        yield publisher


@dataclass(frozen=True)
class Publisher:
    """Publisher of one model; `publisher_of` makes it, and holds the model's lock meanwhile."""

    repository: Repository
    model: str
    folder: Path
    served_at: str | None = None

    def label_state(self) -> LabelState:
        """Compute labels and loaded versions from the model's history."""
        return self.repository.label_state(self.model)

    def catch_up(self) -> None:
        """Complete what a killed publisher left: the history, and `models.config`."""
        known, folders = self.label_state().published, versions_in(self.folder)
        # Add versions whose publisher was killed before it could append to the history.
        for version in sorted(folders.keys() - known):
            publication = publication_of(folders[version])
            if publication is not None:
                append_event(self.folder, Event("published", version, publication.published))
        if self.label_state().published:
            # Write even if no version was added: a kill may have come just after the history.
            self.repository.write_models_config(self.served_at)

    def publish(
        self, source: Path, about: About, files: Mapping[str, str] | None = None
    ) -> Published:
        """Add a SavedModel as the next version, unless a version has the same content.

        Args:
            source: Folder of the SavedModel.
            about: Configuration, scores and gate decision, for the manifest.
            files: SHA-256 of each file from `files_of`, computed before the SavedModel was
                verified; None to compute them now.

        Raises:
            RepositoryError: if the folder holds no SavedModel or changed since `files` was
                computed, or if servers cannot load it from the path that they see.
            OSError: if it cannot be copied; no part of it is left behind.
        """
        self.repository.require_servable(self.served_at)
        files = files_of(source) if files is None else files
        found = self.repository.version_of(self.model, files)
        if found is not None:
            return Published(found, new=False)
        # Count removed versions too: a number must never be used again.
        numbers = self.label_state().published | versions_in(self.folder).keys()
        version = max(numbers, default=0) + 1
        publication = Publication(
            model=self.model,
            version=version,
            content_hash=content_hash(files),
            published=timestamp(),
            files=files,
            lineage=lineage_of(source),
            about=about,
        )
        add_version(source, self.folder / str(version), publication)
        self.catch_up()  # Append to the history by the same code as after a kill at this point.
        return Published(version, new=True)

    def promote(
        self,
        label: Label,
        version: int,
        watchers: Watchers,
        *,
        gate: Gate | None = None,
        force: bool = False,
    ) -> Promotion:
        """Move a label: let servers load the version, wait for them, move, unload the old version.

        If no server is known, or one does not load the version in time, the label stays and the
        old version keeps serving. Repeat the same call later to continue.

        Args:
            label: Label to move.
            version: Version to move it to.
            watchers: Servers that must load the version.
            gate: Latest decision of the gate; None to use the one in the version's manifest.
            force: True to move the label even if the gate failed the version.

        Raises:
            GateRefused: if the gate has failed the version and `label` is `stable`.
            RepositoryError: if there is no such version, or a server cannot load it; the label
                then stays, and the move is withdrawn.
        """
        decision = gate or self.repository.publication(self.model, version).about.gate
        require_gate(label, decision, force=force)
        forced = force and decision is not None and not decision.passed
        return self._move(label, Pending(version, back=False), watchers, forced=forced)

    def roll_back(self, label: Label, watchers: Watchers) -> Promotion:
        """Withdraw a move that waits, or move the label back to its previous version.

        Raises:
            RepositoryError: if no earlier version of the label is left, or a server cannot load it.
        """
        state = self.label_state()
        waiting = state.pending.get(label)
        # Only withdraw a promotion that waits: the label has not moved yet.
        if waiting is not None and not waiting.back:
            self._record("withdrawn", waiting.version, label=label, reason="rolled back")
            return Promotion(label, state.labels.get(label), moved=True)
        target = state.rollback_target(label, versions_in(self.folder))
        if target is None:
            raise RepositoryError(
                f"`{label}` rolls back only to an earlier version of it that still exists. "
                f"Received: {self.model}, which has none"
            )
        return self._move(label, Pending(target, back=True), watchers)

    def retain(self, keep: int) -> list[int]:
        """Remove all but the `keep` newest versions, and return the numbers of the removed ones.

        Also kept are versions that a label points at, waits for or would roll back to, versions
        that servers may still have loaded, and folders that `publish` did not write.

        Raises:
            RepositoryError: if `keep` is less than 1.
            OSError: if a version cannot be removed.
        """
        if keep < 1:
            raise RepositoryError(f"`keep` must be at least 1. Received: {keep}")
        state, folders = self.label_state(), versions_in(self.folder)
        rollback_targets = {state.rollback_target(label, folders) for label in state.trails}
        ours = [version for version in folders if publication_of(folders[version]) is not None]
        # Without labels, keep two: servers may not have switched to the newest version yet.
        newest = max(keep, 1 if state.wanted else 2)
        spared = {*ours[-newest:], *state.loaded, *rollback_targets}
        removed = [version for version in ours if version not in spared]
        for version in removed:
            atomic.remove_folder(folders[version])
            append_event(self.folder, Event("removed", version, timestamp()))
        return removed

    def _move(
        self, label: str, to: Pending, watchers: Watchers, *, forced: bool = False
    ) -> Promotion:
        state, version = self.label_state(), to.version
        current = state.labels.get(label)
        if current == version:
            if label in state.pending:
                withdrawn = state.pending[label].version
                self._record("withdrawn", withdrawn, label=label, reason="the label stays")
            return Promotion(label, version, moved=True, reason=self._unload_old(watchers))
        waits = self._load(label, to, watchers)
        if waits is not None:
            return Promotion(label, version, moved=False, reason=waits)
        kind: Kind = "rolled_back" if to.back else "moved"
        self._record(kind, version, label=label, former=current, forced=forced)
        return Promotion(label, version, moved=True, reason=self._unload_old(watchers))

    def _load(self, label: str, wanted: Pending, watchers: Watchers) -> str | None:
        """Let servers load a version beside the old one; return None, or the reason to wait."""
        state, version = self.label_state(), wanted.version
        failed_before: frozenset[str] = frozenset()
        if state.pending.get(label) != wanted:
            newest = None if state.wanted else max(versions_in(self.folder))
            if version not in {newest, *state.loaded}:
                # Ignore old failures: servers report them until they start to load again.
                failed_before = failures(watchers, self.model, version)
            former = state.labels.get(label, newest)
            self._record("loading", version, label=label, former=former, back=wanted.back)
        if watchers.none:
            return None
        if not watchers.servers:
            return "the label moves once the servers named by `--server` have loaded the version"
        try:
            wait_until_available(watchers, self.model, version, failed_before)
        except LoadFailed as error:
            self._record("withdrawn", version, label=label, reason=str(error))
            raise RepositoryError(
                f"`{label}` moves only to a version that servers can load. Received: {error}"
            ) from error
        except NotYet as error:
            return str(error)
        return None

    def _unload_old(self, watchers: Watchers) -> str | None:
        """Unload old versions when all servers know where the labels are; else say why to wait."""
        state, folders = self.label_state(), versions_in(self.folder)
        old = sorted(state.retiring - state.wanted)
        stays = f"version {', '.join(map(str, old))} stays loaded: " if old else ""
        if not watchers.none:
            if not watchers.servers:
                return f"{stays}no `--server` was given to ask for its labels" if stays else None
            try:
                # Skip labels of versions removed by hand, which `models.config` leaves out.
                labels = {name: at for name, at in state.labels.items() if at in folders}
                # Wait before unloading: a server that still has the old label would fail requests.
                wait_until_labelled(watchers, self.model, labels)
            except NotYet as error:
                return f"{stays}{error}"
        for version in old:
            append_event(self.folder, Event("unloaded", version, timestamp()))
        self.repository.write_models_config()
        return None

    def _record(self, kind: Kind, version: int, **details: Any) -> None:
        append_event(self.folder, Event(kind, version, timestamp(), **details))
        # Write `models.config` second: after a kill, it can be made again from the history.
        self.repository.write_models_config()
