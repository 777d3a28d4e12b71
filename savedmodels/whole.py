"""Quick check that a folder holds a SavedModel, without TensorFlow."""

from __future__ import annotations

from pathlib import Path

from savedmodels.repository.versions import versions_in

GRAPH = "saved_model.pb"


class Unverifiable(Exception):
    """The folder cannot be verified; the message gives the reason in one line."""


def graph_in(folder: Path) -> Path:
    """Find the graph file of a SavedModel, or raise `Unverifiable`."""
    file = folder / GRAPH
    if file.is_file():
        return file
    # A model's folder in place of a version's is the likely mistake.
    there = versions_in(folder).items()
    versions = [str(number) for number, each in there if (each / GRAPH).is_file()]
    hint = f", but for versions {', '.join(versions)}" if versions else ""
    raise Unverifiable(
        f"a SavedModel must be a folder with {GRAPH}. Received: {folder}, without{hint}"
    )
