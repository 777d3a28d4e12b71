"""Publish, promote, roll back and remove versions; a kill leaves nothing half done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from savedmodels import atomic
from savedmodels.repository.errors import GateRefused, RepositoryError
from savedmodels.repository.history import Event, Kind, Pending, Standing, append_event
from savedmodels.repository.repository import OnWait, Repository, alone
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
"""`stable` serves all clients; `canary` serves those that try a version first."""


@dataclass(frozen=True)
class Published:
    """Version of a SavedModel in the repository."""

    version: int
    new: bool
    """False if the repository already had the same content."""


@dataclass(frozen=True)
class Promotion:
    """Result of a request to move a label."""

    label: str
    version: int | None
    """Version to move to; None if a rollback withdrew it and the label had no version before."""
    moved: bool
    """True if the label points at that version now."""
    reason: str | None = None
    """Reason to wait: servers have not loaded the version, or not seen the label move."""


def require_gate(label: str, gate: Gate | None, *, force: bool) -> None:
    """Refuse, by `GateRefused`, to move `stable` to a version that the gate failed."""
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
    """Lock a model and yield its publisher; waits until other publishers have ended.

    Args:
        repository: Repository; its folder is made if it is missing.
        model: Name of the model.
        served_at: Path of the repository as servers see it; None to keep the present one.
        on_wait: Called with the lock file before the wait for another publisher.

    Raises:
        RepositoryError: if the model's name is invalid, its history is damaged, or servers
            could not load models from `served_at`.
        OSError: if the repository cannot be written.
    """
    if served_at is not None:
        repository.require_servable(served_at)
    with alone(repository, model, on_wait) as folder:
        publisher = Publisher(repository, model, folder, served_at)
        publisher.catch_up()
        yield publisher


@dataclass(frozen=True)
class Publisher:
    """Publisher of one model; `publisher_of` makes it and holds the lock while it lives."""

    repository: Repository
    model: str
    folder: Path
    served_at: str | None = None

    def standing(self) -> Standing:
        """Replay the model's history."""
        return self.repository.standing(self.model)

    def catch_up(self) -> None:
        """Add versions missing from the history, and write `models.config`."""
        known, there = self.standing().published, versions_in(self.folder)
        # A publisher may have been killed between the version's rename and its line in the history.
        for version in sorted(there.keys() - known):
            publication = publication_of(there[version])
            if publication is not None:
                append_event(self.folder, Event("published", version, publication.published))
        if self.standing().published:
            # Also if nothing is new: a killed publisher may have written the history only.
            self.repository.tell_servers(self.served_at)

    def publish(
        self, source: Path, about: About, files: Mapping[str, str] | None = None
    ) -> Published:
        """Add a SavedModel as the next version, unless the repository has its content.

        Args:
            source: Folder of the SavedModel.
            about: Configuration, scores and gate decision.
            files: Checksums by `files_of`, from before the verification; None to compute them now.

        Raises:
            RepositoryError: if the folder holds no SavedModel or changed since `files` was
                computed, or if servers could not load it from the path that they see.
            OSError: if it cannot be copied; nothing is left behind.
        """
        self.repository.require_servable(self.served_at)
        files = files_of(source) if files is None else files
        found = self.repository.version_of(self.model, files)
        if found is not None:
            return Published(found, new=False)
        # Removed versions count too: the version must grow from run to run.
        numbers = self.standing().published | versions_in(self.folder).keys()
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
        self.catch_up()  # As after a kill at this place, so that there is one way only.
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
        """Move a label: load the version, wait until it is available, move, unload the old one.

        If no server is known, or one does not report the version as loaded in time, the label
        stays and the old version keeps serving. The same call continues later.

        Args:
            label: Label to move.
            version: Version to move it to.
            watchers: Servers that must load it.
            gate: Latest decision of the gate; None for the one in the version's manifest.
            force: True to move it even if the gate failed the version.

        Raises:
            GateRefused: if the gate has failed the version and `label` is `stable`.
            RepositoryError: if there is no such version, or a server cannot load it; the label
                stays then, and the request is withdrawn.
        """
        judged = gate or self.repository.publication(self.model, version).about.gate
        require_gate(label, judged, force=force)
        forced = force and judged is not None and not judged.passed
        return self._move(label, Pending(version, back=False), watchers, forced=forced)

    def roll_back(self, label: Label, watchers: Watchers) -> Promotion:
        """Withdraw the version that a label waits for, or move the label to its version before.

        Raises:
            RepositoryError: if no earlier version of the label is left.
        """
        standing = self.standing()
        # The label has not moved yet, so cancelling is all that is needed.
        waiting = standing.pending.get(label)
        if waiting is not None and not waiting.back:
            self._note("withdrawn", waiting.version, label=label, reason="rolled back")
            return Promotion(label, standing.labels.get(label), moved=True)
        before = standing.before(label, versions_in(self.folder))
        if before is None:
            raise RepositoryError(
                f"`{label}` rolls back only to an earlier version of it that still exists. "
                f"Received: {self.model}, which has none"
            )
        return self._move(label, Pending(before, back=True), watchers)

    def retain(self, keep: int) -> list[int]:
        """Remove all but the `keep` newest versions, and return the numbers of the removed ones.

        It spares versions that a label points at, waits for or would roll back to, versions that
        servers may still have loaded, and folders that `publish` did not write.

        Raises:
            RepositoryError: if `keep` is less than 1.
            OSError: if a version cannot be removed.
        """
        if keep < 1:
            raise RepositoryError(f"`keep` must be at least 1. Received: {keep}")
        standing, there = self.standing(), versions_in(self.folder)
        back = {standing.before(label, there) for label in standing.trails}
        ours = [version for version, folder in there.items() if publication_of(folder) is not None]
        # Without labels, servers may have the version before: when they switch is unknown here.
        newest = max(keep, 1 if standing.wanted else 2)
        spared = {*ours[-newest:], *standing.loaded, *back}
        removed = [version for version in ours if version not in spared]
        for version in removed:
            atomic.remove_folder(there[version])
            append_event(self.folder, Event("removed", version, timestamp()))
        return removed

    def _move(
        self, label: str, to: Pending, watchers: Watchers, *, forced: bool = False
    ) -> Promotion:
        standing, version = self.standing(), to.version
        stands = standing.labels.get(label)
        if stands == version:
            if label in standing.pending:
                given_up = standing.pending[label].version
                self._note("withdrawn", given_up, label=label, reason="the label stays")
            return Promotion(label, version, moved=True, reason=self._settle(watchers))
        waits = self._load(label, to, watchers)
        if waits is not None:
            return Promotion(label, version, moved=False, reason=waits)
        kind: Kind = "rolled_back" if to.back else "moved"
        self._note(kind, version, label=label, former=stands, forced=forced)
        return Promotion(label, version, moved=True, reason=self._settle(watchers))

    def _load(self, label: str, wanted: Pending, watchers: Watchers) -> str | None:
        """Let servers load a version beside the old one; return the reason to wait, or None."""
        standing, version = self.standing(), wanted.version
        failed_before: frozenset[str] = frozenset()
        if standing.pending.get(label) != wanted:
            newest = None if standing.wanted else max(versions_in(self.folder))
            if version not in {newest, *standing.loaded}:
                # Servers report an old failure until they start to load again; that must not count.
                failed_before = failures(watchers, self.model, version)
            former = standing.labels.get(label, newest)
            self._note("loading", version, label=label, former=former, back=wanted.back)
        if watchers.none:
            return None
        if not watchers.servers:
            return "the label moves once the servers named by `--server` have loaded the version"
        try:
            wait_until_available(watchers, self.model, version, failed_before)
        except LoadFailed as error:
            self._note("withdrawn", version, label=label, reason=str(error))
            raise RepositoryError(
                f"`{label}` moves only to a version that servers can load. Received: {error}"
            ) from error
        except NotYet as error:
            return str(error)
        return None

    def _settle(self, watchers: Watchers) -> str | None:
        """Unload old versions once servers have moved every label; return the reason to wait."""
        standing, there = self.standing(), versions_in(self.folder)
        unneeded = sorted(standing.retiring - standing.wanted)
        stays = f"version {', '.join(map(str, unneeded))} stays loaded: " if unneeded else ""
        if not watchers.none:
            if not watchers.servers:
                return f"{stays}no `--server` was given to ask for its labels" if stays else None
            try:
                # `models.config` leaves out versions removed by hand: no server has their labels.
                labels = {name: at for name, at in standing.labels.items() if at in there}
                # Unload only then: a server that is still at the old label would fail its requests.
                wait_until_labelled(watchers, self.model, labels)
            except NotYet as error:
                return f"{stays}{error}"
        for version in unneeded:
            append_event(self.folder, Event("unloaded", version, timestamp()))
        self.repository.tell_servers()
        return None

    def _note(self, kind: Kind, version: int, **details: Any) -> None:
        append_event(self.folder, Event(kind, version, timestamp(), **details))
        # Second, as it follows from the history: after a kill the next publisher writes it.
        self.repository.tell_servers()
