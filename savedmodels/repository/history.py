"""History of a model as a file of one event per line, and the state that follows from it."""

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
    """Time of the event, ISO 8601."""
    label: str | None = None
    """Label that moves; None for events of versions."""
    former: int | None = None
    """Version that served before: the label's, or without labels the newest."""
    back: bool = False
    """True if the version is loaded for a rollback."""
    forced: bool = False
    """True if the label moved although the gate failed the version."""
    reason: str | None = None
    """Reason for a withdrawal."""


@dataclass(frozen=True)
class Pending:
    """Version that servers load before a label moves to it."""

    version: int
    back: bool


@dataclass(frozen=True)
class Standing:
    """State of a model after its history: labels, and versions that servers load."""

    published: frozenset[int] = frozenset()
    """Every version ever published, including removed ones."""
    trails: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Versions of each label, oldest first: the last is current, the others are for rollback."""
    pending: Mapping[str, Pending] = field(default_factory=lambda: MappingProxyType({}))
    """Version that each label waits for."""
    retiring: frozenset[int] = frozenset()
    """Versions that served before and are not unloaded yet."""

    @property
    def labels(self) -> dict[str, int]:
        """Current version of each label."""
        return {label: trail[-1] for label, trail in self.trails.items()}

    @property
    def wanted(self) -> frozenset[int]:
        """Versions that a label points at, or will point at."""
        return frozenset(self.labels.values()) | {each.version for each in self.pending.values()}

    @property
    def loaded(self) -> frozenset[int]:
        """Versions that servers must have loaded; empty if they load whatever is newest."""
        return self.wanted | self.retiring if self.wanted else frozenset()

    def before(self, label: str, there: Iterable[int]) -> int | None:
        """Return the version for a rollback: the label's latest earlier one that is `there`."""
        candidates = [version for version in self.trails.get(label, ())[:-1] if version in there]
        return candidates[-1] if candidates else None


def standing_after(events: Iterable[Event]) -> Standing:
    """Replay a history, event by event."""
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
            # Without labels servers go on with the newest version, and retire nothing.
            unlabelled = not standing.trails and not without
            retiring = frozenset() if unlabelled else standing.retiring
            return replace(standing, pending=without, retiring=retiring)
        case "moved":
            trail = (*standing.trails.get(label, ()), version)
        case "rolled_back":
            trail = standing.trails[label]
            # Cut back to the version's last place, so that a second rollback goes further back.
            trail = trail[: len(trail) - trail[-2::-1].index(version) - 1]
        case _:  # Unloaded or removed: servers no longer have it.
            return replace(standing, retiring=standing.retiring - {version})
    return replace(standing, trails={**standing.trails, label: trail}, pending=without)


def read_history(folder: Path) -> list[Event]:
    """Read the history of a model, without a last line that a kill cut short.

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
            f"every line of a history must be an event in JSON. Received: {file}: {error}"
        ) from error


def append_event(folder: Path, event: Event) -> None:
    """Append a line to the history; it is on the disk when this returns."""
    # By identity: a version may be 0, which equals False.
    given = {
        name: value
        for name, value in asdict(event).items()
        if value is not None and value is not False
    }
    with (folder / PROMOTIONS).open("a+b") as file:
        file.seek(0)
        # A line that a killed writer left half written would damage the one appended to it.
        file.truncate(len(_whole(file.read())))
        file.write(json.dumps(given).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync(folder)  # The first event makes the file, whose name must be on the disk too.


def _whole(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
