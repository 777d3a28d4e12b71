"""Quick check that a folder holds a SavedModel, without TensorFlow."""

from __future__ import annotations

from pathlib import Path

from savedmodels.repository.versions import versions_in

GRAPH = "saved_model.pb"


class Unverifiable(Exception):
    """The folder cannot be verified; the message gives the reason in one line."""


def graph_in(folder: Path) -> Path:
    """Find the graph file of a SavedModel.

    Raises:
        Unverifiable: if the folder has none; the message names versions below it, if any.
    """
    file = folder / GRAPH
    if file.is_file():
        return file
    there = versions_in(folder).items()
    versions = [str(number) for number, each in there if (each / GRAPH).is_file()]
    hint = f", but for versions {', '.join(versions)}" if versions else ""
    raise Unverifiable(
        f"a SavedModel must be a folder with {GRAPH}. Received: {folder}, without{hint}"
    )
