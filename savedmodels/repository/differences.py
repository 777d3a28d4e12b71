"""Compare two published versions: lineage, scores, configuration and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from savedmodels.repository.versions import Publication

Pairs: TypeAlias = dict[str, tuple[Any, Any]]
"""Pairs of different values by name; None on the side that has no value."""


@dataclass(frozen=True)
class Differences:
    """Differences between two versions; names of nested values are joined by dots."""

    lineage: Pairs
    config: Pairs
    evaluation: Pairs
    gate: Pairs
    files: Pairs
    """SHA-256 by path."""


def differences_between(one: Publication, other: Publication) -> Differences:
    """Compare the manifests of two versions."""
    gates = [asdict(each.about.gate) if each.about.gate else None for each in (one, other)]
    return Differences(
        lineage=_pairs(one.lineage, other.lineage),
        config=_pairs(one.about.config, other.about.config),
        evaluation=_pairs(one.about.evaluation, other.about.evaluation),
        gate=_pairs(*gates),
        files={
            name: (one.files.get(name), other.files.get(name))
            for name in sorted({*one.files, *other.files})
            if one.files.get(name) != other.files.get(name)
        },
    )


def _pairs(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Pairs:
    first, second = dict(_flat(one or {})), dict(_flat(other or {}))
    return {
        name: (first.get(name), second.get(name))
        for name in {**first, **second}
        if first.get(name) != second.get(name)
    }


def _flat(nested: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, given in nested.items():
        # Entries by their names, so that a reordered list does not differ.
        value = _by_name(given) if isinstance(given, list) else given
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _by_name(entries: list[Any]) -> Any:
    if not all(isinstance(each, Mapping) and "name" in each for each in entries):
        return entries
    return {
        each["name"]: {name: value for name, value in each.items() if name != "name"}
        for each in entries
    }
