"""Publishing, promoting, going back and removing, each so that a kill leaves nothing half done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from savedmodels import atomic
from savedmodels.repository.errors import GateRefused, RepositoryError
from savedmodels.repository.history import (
    Event,
    Kind,
    Pending,
    Standing,
    append_event,
    read_history,
    standing_after,
)
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
    now,
    publication_of,
    versions_in,
)

Label: TypeAlias = Literal["stable", "canary"]
"""`stable` is what clients ask for; `canary` what some try before it."""


@dataclass(frozen=True)
class Published:
    """Version that a SavedModel has in the repository."""

    version: int
    new: bool
    """False if it was there already."""


@dataclass(frozen=True)
class Promotion:
    """Result of a request to move a label."""

    label: str
    version: int | None
    """The label is to stand at; None if what it waited for was taken back and it stands nowhere."""
    moved: bool
    """Whether it stands there."""
    reason: str | None = None
    """What is waited for, if something is: to move the label, or that servers have seen it move."""


def require_gate(label: str, gate: Gate | None, *, force: bool) -> None:
    """Refuse that `stable` moves to what the gate has failed.

    Raises:
        GateRefused: if it has, and `force` is not set.
    """
    if label == "stable" and gate is not None and not gate.passed and not force:
        raise GateRefused(
            "`stable` moves only to what the gate has not failed, but by `--force`. "
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
    """Become the only publisher of a model, once others have ended.

    Args:
        repository: Made if it is missing.
        model: Its name.
        served_at: The repository's path as servers see it, from now on.
        on_wait: Called, with the lock file, before others are waited for.

    Raises:
        RepositoryError: if the model has no possible name, its history is damaged, or servers
            could not load models from the path that they see.
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
    """Changes one model of a repository; `publisher_of` makes it, and holds the lock meanwhile.

    The history is written first and `models.config` follows from it, so whatever a killed
    publisher was about to tell servers, the next one tells them.
    """

    repository: Repository
    model: str
    folder: Path
    served_at: str | None = None

    def standing(self) -> Standing:
        """Return the present state of labels."""
        return standing_after(read_history(self.folder))

    def catch_up(self) -> None:
        """Bring history and `models.config` up to the versions that are there.

        Raises:
            RepositoryError: if the history or a manifest is damaged.
            OSError: if a file cannot be written.
        """
        known, there = self.standing().published, versions_in(self.folder)
        for version in sorted(there.keys() - known):
            publication = publication_of(there[version])
            if publication is not None:
                append_event(self.folder, Event("published", version, publication.published))
        if self.standing().published:
            self.repository.tell_servers(self.served_at)

    def publish(
        self, source: Path, about: About, files: Mapping[str, str] | None = None
    ) -> Published:
        """Add a SavedModel as the next version, unless its content is there already.

        Args:
            source: Folder of the SavedModel.
            about: Facts beside its files.
            files: Files of it, as `files_of` told them before they were verified; None as they are
                now.

        Raises:
            RepositoryError: if it is no SavedModel, or changed since its files were told; or if
                servers could not load it from the path that they see.
            OSError: if it cannot be copied; nothing is left behind.
        """
        self.repository.require_servable(self.served_at)
        files = files_of(source) if files is None else files
        found = self.repository.version_of(self.model, files)
        if found is not None:
            return Published(found, new=False)
        numbers = self.standing().published | versions_in(self.folder).keys()
        version = max(numbers, default=0) + 1
        publication = Publication(
            model=self.model,
            version=version,
            content_hash=content_hash(files),
            published=now(),
            files=files,
            lineage=lineage_of(source),
            about=about,
        )
        add_version(source, self.folder / str(version), publication)
        self.catch_up()
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
        """Move a label: load, wait until it is available, move, unload what served before.

        If the servers are not known, or do not say in time that the version is loaded, the label
        stays, what serves goes on serving, and the same call goes on later.

        Args:
            label: Label to move.
            version: Version to move it to.
            watchers: The servers that have to load it.
            gate: Latest decision of the gate on it; otherwise that in its manifest.
            force: Whatever the gate decided.

        Raises:
            GateRefused: if the gate has failed the version and `label` is `stable`.
            RepositoryError: if there is no such version, or a server cannot load it: then it is
                taken back, and the label stays.
            OSError: if a file cannot be written.
        """
        judged = gate or self.repository.publication(self.model, version).about.gate
        require_gate(label, judged, force=force)
        forced = force and judged is not None and not judged.passed
        return self._move(label, Pending(version, back=False), watchers, forced=forced)

    def roll_back(self, label: Label, watchers: Watchers) -> Promotion:
        """Take back what waits for a label, or else move it to where it stood before.

        Raises:
            RepositoryError: if it stood nowhere before, or none of that is left.
            OSError: if a file cannot be written.
        """
        standing = self.standing()
        waiting = standing.pending.get(label)
        if waiting is not None and not waiting.back:
            self._note("withdrawn", waiting.version, label=label, reason="rolled back")
            return Promotion(label, standing.labels.get(label), moved=True)
        before = standing.before(label, versions_in(self.folder))
        if before is None:
            raise RepositoryError(
                f"`{label}` goes back to a version at which it stood before and that is still "
                f"there. Received: {self.model}, which has none"
            )
        return self._move(label, Pending(before, back=True), watchers)

    def retain(self, keep: int) -> list[int]:
        """Remove old versions, and say which.

        What a label stands at, moves to, or would go back to stays, as do versions that servers
        were not seen to unload, and those that were not published. Without labels the newest two
        stay: servers go from one to the other by themselves, unseen.

        Args:
            keep: Number of the newest that stay, at least 1.

        Raises:
            RepositoryError: if `keep` is less than 1.
            OSError: if one cannot be removed.
        """
        if keep < 1:
            raise RepositoryError(f"`keep` must be at least 1. Received: {keep}")
        standing, there = self.standing(), versions_in(self.folder)
        back = {standing.before(label, there) for label in standing.trails}
        ours = [version for version, folder in there.items() if publication_of(folder) is not None]
        newest = max(keep, 1 if standing.wanted else 2)
        spared = {*ours[-newest:], *standing.loaded, *back}
        removed = [version for version in ours if version not in spared]
        for version in removed:
            atomic.remove_folder(there[version])
            append_event(self.folder, Event("removed", version, now()))
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
        """Have servers load a version beside what serves; what is waited for, if not all have."""
        standing, version = self.standing(), wanted.version
        failed_before: frozenset[str] = frozenset()
        if standing.pending.get(label) != wanted:
            newest = None if standing.wanted else max(versions_in(self.folder))
            if version not in {newest, *standing.loaded}:
                failed_before = failures(watchers, self.model, version)
            former = standing.labels.get(label, newest)
            self._note("loading", version, label=label, former=former, back=wanted.back)
        if watchers.none:
            return None
        if not watchers.servers:
            return "the label moves when the servers that watch, by `--server`, have it"
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
        """Unload what served before, once servers have moved every label; why not, if not."""
        standing, there = self.standing(), versions_in(self.folder)
        unneeded = sorted(standing.retiring - standing.wanted)
        stays = f"version {', '.join(map(str, unneeded))} stays loaded: " if unneeded else ""
        if not watchers.none:
            if not watchers.servers:
                return f"{stays}no `--server` was asked where its labels stand" if stays else None
            try:
                # Of a version that was removed by hand servers are told nothing.
                labels = {name: at for name, at in standing.labels.items() if at in there}
                wait_until_labelled(watchers, self.model, labels)
            except NotYet as error:
                return f"{stays}{error}"
        for version in unneeded:
            append_event(self.folder, Event("unloaded", version, now()))
        self.repository.tell_servers()
        return None

    def _note(self, kind: Kind, version: int, **details: Any) -> None:
        append_event(self.folder, Event(kind, version, now(), **details))
        self.repository.tell_servers()
