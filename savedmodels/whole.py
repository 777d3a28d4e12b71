"""Quick check that a folder holds a SavedModel, without starting TensorFlow."""

from __future__ import annotations

from pathlib import Path

from savedmodels.repository.versions import versions_in

GRAPH = "saved_model.pb"  # File with the graph of a SavedModel.


class Unverifiable(Exception):
    """Error for a folder that cannot be verified; the message gives the reason in one line."""


def graph_in(folder: Path) -> Path:
    """Return the graph file of a SavedModel, or raise `Unverifiable`."""
    file = folder / GRAPH
    if file.is_file():
        return file
    # Name the versions: the likely mistake is a model's folder instead of a version's.
    folders = versions_in(folder).items()
    versions = [str(number) for number, each in folders if (each / GRAPH).is_file()]
    hint = f", but for versions {', '.join(versions)}" if versions else ""
    raise Unverifiable(
        f"a SavedModel must be a folder with {GRAPH}. Received: {folder}, without{hint}"
    )
