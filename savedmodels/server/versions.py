"""Find the versions of a model, and decide which of them to serve, load and unload."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_VERSION = 2**63 - 1
"""Highest version number, an int64; TensorFlow Serving ignores folders with higher ones."""


class State(enum.IntEnum):
    """State of a version, numbered as in TensorFlow Serving's `ModelVersionStatus`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50  # unloaded, or failed to load


@dataclass(frozen=True)
class Latest:
    """Policy to serve the `count` highest versions."""

    count: int = 1


@dataclass(frozen=True)
class Specific:
    """Policy to serve these versions."""

    versions: frozenset[int]


@dataclass(frozen=True)
class All:
    """Policy to serve every version."""


Policy = Latest | Specific | All
NEWEST = Latest()


@dataclass(frozen=True)
class VersionChanges:
    """Versions to load, highest first, and versions to unload."""

    load: tuple[int, ...]
    unload: tuple[int, ...]


def list_versions(base: Path) -> dict[int, Path] | None:
    """Return a model's version folders by number, or None if the model's folder cannot be read."""
    try:
        # Sort, so that of the folders `2` and `02` the same one is served on every machine.
        folders = sorted(base.iterdir())
    except OSError:
        return None
    # Leave this out of the `try`: an error at one version must not count as a missing model.
    return {
        int(folder.name): folder
        for folder in folders
        if folder.name.isascii() and folder.name.isdecimal() and int(folder.name) <= MAX_VERSION
        if folder.is_dir()
    }


def choose_versions(found: Collection[int], policy: Policy) -> frozenset[int]:
    """Choose the versions that a policy wants among those found."""
    match policy:
        case Latest(count):
            # Read 0 as 1: in protobuf it also stands for a missing number, which means one version.
            return frozenset(sorted(found)[-max(count, 1) :])
        case Specific(versions):
            return versions & frozenset(found)
        case All():
            return frozenset(found)


def plan_changes(states: Mapping[int, State], wanted: Collection[int]) -> VersionChanges:
    """Plan which versions to load and unload now, so that a wanted version is always available."""
    absent = (State.START, State.END)
    load = sorted((v for v in wanted if states.get(v, State.START) in absent), reverse=True)
    # Keep unwanted versions until a wanted one is available, as TensorFlow Serving's
    # availability-preserving policy does.
    may_unload = not wanted or any(states.get(v) is State.AVAILABLE for v in wanted)
    unwanted = sorted(
        v for v, state in states.items() if state is State.AVAILABLE and v not in wanted
    )
    return VersionChanges(tuple(load), tuple(unwanted) if may_unload else ())
