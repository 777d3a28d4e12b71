"""Pictures in a folder and its sub-folders."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from pathlib import Path

from pipeline.data.sources.files import Files, files_source
from pipeline.data.sources.reason import reason_of
from pipeline.errors import UserError


def open_folder(path: Path) -> Files:
    """The pictures below a folder, labelled by a labels file or by class sub-folders.

    Symbolic links are followed, out of the folder too: whoever makes a link in a folder of their
    own means what it points at. A link to a folder that it lies in is passed over.

    Raises:
        UserError: if it holds no picture, cannot be listed, or is no labelled set.
    """
    return files_source(
        path.resolve().name, str(path), files_below(path), lambda file: (path / file).read_bytes()
    )


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, links followed, as names relative to it in no certain order.

    Raises:
        UserError: if a folder cannot be listed.
    """
    try:
        return list(walk(folder))
    except OSError as error:
        raise UserError(
            f"a source must be readable. Received: {error.filename} ({reason_of(error)})"
        ) from error


def walk(root: Path, inside: str = "", above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every file below a folder, as `files_below` tells them.

    Args:
        root: The folder.
        inside: The folder in it to begin with, by its name relative to it.
        above: Real paths of the folders that lead there.

    Raises:
        OSError: if a folder cannot be listed.
    """
    real = os.path.realpath(root / inside)
    # A link to a folder that it lies in would be followed for ever.
    if real in above:
        return
    with os.scandir(root / inside) as entries:
        for entry in entries:
            name = posixpath.join(inside, entry.name)
            if entry.is_dir():
                yield from walk(root, name, above | {real})
            # A link that leads nowhere is to be named; a pipe or a device is never to be read.
            elif entry.is_file() or not os.path.exists(entry.path):
                yield name
