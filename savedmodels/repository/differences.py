"""Compare two published versions, for `growgan publish --diff`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from savedmodels.repository.versions import Publication

Pairs: TypeAlias = dict[str, tuple[Any, Any]]
"""Values that differ, by name: those of the first and of the second version; None if absent."""


@dataclass(frozen=True)
class Differences:
    """Differences between two versions; a nested value is named by its path, joined by dots."""

    lineage: Pairs
    config: Pairs
    evaluation: Pairs
    gate: Pairs
    files: Pairs  # SHA-256 of the files that differ, by path in the SavedModel.


def differences_between(first: Publication, second: Publication) -> Differences:
    """Compare the manifests of two versions."""
    gates = [asdict(each.about.gate) if each.about.gate else None for each in (first, second)]
    return Differences(
        lineage=_differing_values(first.lineage, second.lineage),
        config=_differing_values(first.about.config, second.about.config),
        evaluation=_differing_values(first.about.evaluation, second.about.evaluation),
        gate=_differing_values(*gates),
        files={
            name: (first.files.get(name), second.files.get(name))
            for name in sorted({*first.files, *second.files})
            if first.files.get(name) != second.files.get(name)
        },
    )


def _differing_values(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Pairs:
    first, second = dict(_flatten(one or {})), dict(_flatten(other or {}))
    return {
        name: (first.get(name), second.get(name))
        for name in {**first, **second}
        if first.get(name) != second.get(name)
    }


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, given in nested.items():
        # Turn a list of named entries into a mapping, so that their order makes no difference.
        value = _key_by_name(given) if isinstance(given, list) else given
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _key_by_name(entries: list[Any]) -> Any:
    if not all(isinstance(each, Mapping) and "name" in each for each in entries):
        return entries
    return {
        each["name"]: {name: value for name, value in each.items() if name != "name"}
        for each in entries
    }
