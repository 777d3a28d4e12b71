"""History of a model's versions and labels, a line each, and the state that follows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from savedmodels.atomic import sync
from savedmodels.repository.errors import RepositoryError

PROMOTIONS = "promotions.jsonl"

Kind: TypeAlias = Literal[
    "published", "loading", "withdrawn", "moved", "rolled_back", "unloaded", "removed"
]


@dataclass(frozen=True)
class Event:
    """One line of the history."""

    event: Kind
    version: int
    at: str
    """When, ISO 8601."""
    label: str | None = None
    """Label that is to move, or has moved."""
    former: int | None = None
    """What served before: where the label stood, or without labels the newest version."""
    back: bool = False
    """A version is loaded to go back to it."""
    forced: bool = False
    """The gate has failed the version."""
    reason: str | None = None
    """Reason of a withdrawal."""


@dataclass(frozen=True)
class Pending:
    """A version that is being loaded for a label."""

    version: int
    back: bool


@dataclass(frozen=True)
class Standing:
    """State that follows from a history: labels, and the versions to be loaded."""

    published: frozenset[int] = frozenset()
    """Every version there ever was."""
    trails: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The versions each label stood at and can go back to; the last is where it stands."""
    pending: Mapping[str, Pending] = field(default_factory=lambda: MappingProxyType({}))
    """What is to be loaded before a label moves."""
    retiring: frozenset[int] = frozenset()
    """What served before, and was not unloaded yet."""

    @property
    def labels(self) -> dict[str, int]:
        """Version of each label."""
        return {label: trail[-1] for label, trail in self.trails.items()}

    @property
    def wanted(self) -> frozenset[int]:
        """Versions that a label stands at, or moves to."""
        return frozenset(self.labels.values()) | {each.version for each in self.pending.values()}

    @property
    def loaded(self) -> frozenset[int]:
        """Versions that servers are to have loaded; empty if the newest is, whatever it is."""
        return self.wanted | self.retiring if self.wanted else frozenset()

    def before(self, label: str, there: Iterable[int]) -> int | None:
        """The version that a label goes back to: the last it stood at of those that are there."""
        candidates = [version for version in self.trails.get(label, ())[:-1] if version in there]
        return candidates[-1] if candidates else None


def standing_after(events: Iterable[Event]) -> Standing:
    """Replay a history."""
    standing = Standing()
    for event in events:
        standing = _after(standing, event)
    return standing


def _after(standing: Standing, event: Event) -> Standing:
    label, version = event.label or "", event.version
    without = {name: each for name, each in standing.pending.items() if name != label}
    match event.event:
        case "published":
            return replace(standing, published=standing.published | {version})
        case "loading":
            serving = {event.former} if event.former is not None else set()
            return replace(
                standing,
                pending={**without, label: Pending(version, event.back)},
                retiring=standing.retiring | serving,
            )
        case "withdrawn":
            unlabelled = not standing.trails and not without
            retiring = frozenset() if unlabelled else standing.retiring
            return replace(standing, pending=without, retiring=retiring)
        case "moved":
            trail = (*standing.trails.get(label, ()), version)
        case "rolled_back":
            trail = standing.trails[label]
            trail = trail[: len(trail) - trail[-2::-1].index(version) - 1]
        case _:  # Unloaded or removed: no server has it from here on.
            return replace(standing, retiring=standing.retiring - {version})
    return replace(standing, trails={**standing.trails, label: trail}, pending=without)


def read_history(folder: Path) -> list[Event]:
    """The history of a model; a line whose writer was killed in it never happened.

    Raises:
        RepositoryError: if a line is damaged.
    """
    file = folder / PROMOTIONS
    try:
        lines = _whole(file.read_bytes()).splitlines()
    except FileNotFoundError:
        return []
    try:
        return [Event(**json.loads(line)) for line in lines]
    except (TypeError, ValueError) as error:
        raise RepositoryError(
            f"every line of a history must be as it was written. Received: {file}: {error}"
        ) from error


def append_event(folder: Path, event: Event) -> None:
    """Write a line at the end of the history; it is on the disk when this returns.

    Raises:
        OSError: if it cannot be written.
    """
    given = {
        name: value
        for name, value in asdict(event).items()
        if value is not None and value is not False
    }
    with (folder / PROMOTIONS).open("a+b") as file:
        file.seek(0)
        file.truncate(len(_whole(file.read())))
        file.write(json.dumps(given).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync(folder)


def _whole(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
