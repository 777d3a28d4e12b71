"""Print versions of a model for `growgan publish --list`, and differences for `--diff`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from rich.console import Console

from pipeline.cli.console import say
from pipeline.cli.tables import new_table, print_table
from pipeline.evaluation.publication import evaluation_in
from pipeline.evaluation.scores import FINGERPRINT, title_of
from savedmodels.repository.differences import Differences
from savedmodels.repository.repository import VersionState
from savedmodels.repository.versions import Publication

SHOWN = ("fid", "kid", "precision", "recall")  # Scores with a column in the table of versions.


def show_versions(console: Console, model: str, versions: Sequence[VersionState]) -> None:
    """Print one line per version of a model, newest first."""
    table = new_table(
        model, "labels", "loaded", "published", "content", "data", "images seen", "gate",
        *map(title_of, SHOWN),
    )  # fmt: skip
    for each in reversed(versions):
        labels = [*each.labels, *(f"{label} (waits)" for label in each.pending)]
        table.add_row(
            str(each.version),
            ", ".join(labels),
            "yes" if each.loaded else "",
            *_publication_cells(each.publication),
        )
    print_table(console, table)


def show_differences(console: Console, versions: tuple[int, int], found: Differences) -> None:
    """Print one table per kind of difference."""
    kinds = {each.name: getattr(found, each.name) for each in fields(found)}
    for kind, pairs in kinds.items():
        if not pairs:
            continue
        table = new_table(kind, *map(str, versions))
        for name, values in pairs.items():
            short = FINGERPRINT if kind == "files" else None  # Shorten hashes of files.
            table.add_row(name, *(_format(value)[:short] for value in values))
        print_table(console, table)
    if same := [kind for kind, pairs in kinds.items() if not pairs]:
        say(console, f"the same: {', '.join(same)}")


def _publication_cells(publication: Publication | None) -> list[str]:
    if publication is None:
        return ["not by growgan publish", *[""] * (4 + len(SHOWN))]
    about, lineage, found = publication.about, publication.lineage or {}, evaluation_in(publication)
    scores = {score.name: score.value for score in found.scores} if found else {}
    data = (lineage.get("data") or {}).get("hash") or ""
    gate = "" if about.gate is None else "passed" if about.gate.passed else "failed"
    return [
        publication.published,
        publication.content_hash[:FINGERPRINT],
        data[:FINGERPRINT],
        _format(lineage.get("images_seen")),
        gate,
        *(_format(scores.get(name)) for name in SHOWN),
    ]


def _format(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
