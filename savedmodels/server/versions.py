"""Decide which versions of a model to serve, load and unload; pure functions."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

LARGEST = 2**63 - 1  # an int64: TensorFlow Serving ignores folders with larger numbers


class State(enum.IntEnum):
    """State of a version, numbered as in TensorFlow Serving's `ModelVersionStatus`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class Latest:
    """Serve the `count` highest versions."""

    count: int = 1


@dataclass(frozen=True)
class Specific:
    """Serve these versions."""

    versions: frozenset[int]


@dataclass(frozen=True)
class All:
    """Serve every version."""


Policy = Latest | Specific | All
NEWEST = Latest()


@dataclass(frozen=True)
class VersionChanges:
    """Versions to load, the newest first, and versions to unload once these are loaded."""

    load: tuple[int, ...]
    unload: tuple[int, ...]


def list_versions(base: Path) -> dict[int, Path] | None:
    """List the versions in a model's folder, or return None if the folder does not exist."""
    try:
        # Sorted, so that of `2` and `02` the same one is served everywhere.
        folders = sorted(base.iterdir())
    except OSError:
        return None
    # Not in the `try`: an error at one version must not make its model look as if it were gone.
    return {
        int(folder.name): folder
        for folder in folders
        if folder.name.isascii() and folder.name.isdecimal() and int(folder.name) <= LARGEST
        if folder.is_dir()
    }


def aspired(found: Collection[int], policy: Policy) -> frozenset[int]:
    """Choose the versions that a policy wants among those found."""
    match policy:
        case Latest(count):
            # Protobuf cannot tell 0 from a missing number, which means one version.
            return frozenset(sorted(found)[-max(count, 1) :])
        case Specific(versions):
            return versions & frozenset(found)
        case All():
            return frozenset(found)


def plan_changes(states: Mapping[int, State], wanted: Collection[int]) -> VersionChanges:
    """Plan loads and unloads towards the wanted versions, with one available at any time."""
    absent = (State.START, State.END)
    load = sorted((v for v in wanted if states.get(v, State.START) in absent), reverse=True)
    # Until then unwanted versions stay: TensorFlow Serving's availability-preserving policy.
    covered = not wanted or any(states.get(v) is State.AVAILABLE for v in wanted)
    superfluous = sorted(
        v for v, state in states.items() if state is State.AVAILABLE and v not in wanted
    )
    return VersionChanges(tuple(load), tuple(superfluous) if covered else ())
