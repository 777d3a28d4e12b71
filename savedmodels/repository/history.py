"""History of a published model: events in `promotions.jsonl`, replayed to get its state.

docs/serving.md says how a label such as `stable` moves from one version to another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from savedmodels.atomic import sync
from savedmodels.repository.errors import RepositoryError

PROMOTIONS = "promotions.jsonl"

Kind: TypeAlias = Literal[
    "published", "loading", "withdrawn", "moved", "rolled_back", "unloaded", "removed"
]
"""Kind of an event. `loading` begins a label's move; `moved`, `rolled_back` or `withdrawn` ends it.

After `unloaded`, servers need not load the old version; `removed` means that its folder is gone.
"""


@dataclass(frozen=True)
class Event:
    """One line of the history; the names of its fields are keys in the file."""

    event: Kind
    version: int
    at: str  # Time of the event, ISO 8601.
    label: str | None = None
    """Label that the event is about; None for an event about the version only."""
    former: int | None = None
    """Version that served until then: that of the label, or without labels the newest."""
    back: bool = False  # True for `loading` that prepares a rollback.
    forced: bool = False  # True if the label moved although the gate failed the version.
    reason: str | None = None  # Reason to withdraw the move; None for other events.


@dataclass(frozen=True)
class Pending:
    """Move that waits until servers have loaded the version; `back` is True for a rollback."""

    version: int
    back: bool


@dataclass(frozen=True)
class LabelState:
    """State of a model after its history: its labels, and the versions that servers load."""

    published: frozenset[int] = frozenset()  # Every version ever published, including removed ones.
    trails: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Past versions by label, oldest first; the last is current, the earlier are for rollback."""
    pending: Mapping[str, Pending] = field(default_factory=lambda: MappingProxyType({}))
    """Waiting move by label."""
    retiring: frozenset[int] = frozenset()
    """Versions that served before and that servers must not unload yet."""

    @property
    def labels(self) -> dict[str, int]:
        """Current version of each label."""
        return {label: trail[-1] for label, trail in self.trails.items()}

    @property
    def wanted(self) -> frozenset[int]:
        """Versions that a label points at, or will point at after a waiting move."""
        return frozenset(self.labels.values()) | {each.version for each in self.pending.values()}

    @property
    def loaded(self) -> frozenset[int]:
        """Versions that servers must load; empty if they load the newest, whichever that is."""
        return self.wanted | self.retiring if self.wanted else frozenset()

    def rollback_target(self, label: str, existing: Iterable[int]) -> int | None:
        """Return the label's latest earlier version among `existing`, or None if there is none."""
        candidates = [version for version in self.trails.get(label, ())[:-1] if version in existing]
        return candidates[-1] if candidates else None


def replay(events: Iterable[Event]) -> LabelState:
    """Compute the state of a model from the events of its history, oldest first."""
    state = LabelState()
    for event in events:
        state = _apply(state, event)
    return state


def _apply(state: LabelState, event: Event) -> LabelState:
    label, version = event.label or "", event.version
    other_pending = {name: move for name, move in state.pending.items() if name != label}
    match event.event:
        case "published":
            return replace(state, published=state.published | {version})
        case "loading":
            serving = {event.former} if event.former is not None else set()
            return replace(
                state,
                pending={**other_pending, label: Pending(version, event.back)},
                retiring=state.retiring | serving,
            )
        case "withdrawn":
            # Without labels, retire nothing: servers load only the newest version again.
            unlabelled = not state.trails and not other_pending
            retiring = frozenset() if unlabelled else state.retiring
            return replace(state, pending=other_pending, retiring=retiring)
        case "moved":
            trail = (*state.trails.get(label, ()), version)
        case "rolled_back":
            trail = state.trails[label]
            # Cut the trail after the version's last earlier place: a second rollback goes further.
            trail = trail[: len(trail) - trail[-2::-1].index(version) - 1]
        case _:  # "unloaded" or "removed"
            return replace(state, retiring=state.retiring - {version})
    return replace(state, trails={**state.trails, label: trail}, pending=other_pending)


def read_history(folder: Path) -> list[Event]:
    """Read the events from a model's folder; ignore a last line that a killed process cut short.

    Raises:
        RepositoryError: if a line is damaged.
    """
    file = folder / PROMOTIONS
    try:
        lines = _complete_lines(file.read_bytes()).splitlines()
    except FileNotFoundError:
        return []
    try:
        events = [_read_event(line) for line in lines]
        replay(events)  # Finds a rollback that leads nowhere.
    except (TypeError, ValueError, LookupError) as error:
        raise RepositoryError(
            f"every line of a history must be an event in JSON. Received: {file}: {error}"
        ) from error
    return events


def _read_event(line: bytes) -> Event:
    event = Event(**json.loads(line))
    if event.event not in get_args(Kind) or type(event.version) is not int:
        raise ValueError(f"{event.event!r} of version {event.version!r}")
    return event


def append_event(folder: Path, event: Event) -> None:
    """Append an event to the history in a model's folder, and wait until it is on the disk."""
    # Leave out defaults. Compare by identity: a former version may be 0, which equals False.
    fields = {
        name: value
        for name, value in asdict(event).items()
        if value is not None and value is not False
    }
    with (folder / PROMOTIONS).open("a+b") as file:
        file.seek(0)
        # Remove a half-written line of a killed process: the new line would be appended to it.
        file.truncate(len(_complete_lines(file.read())))
        file.write(json.dumps(fields).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync(folder)  # The first event creates the file; wait until its name is on the disk too.


def _complete_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
