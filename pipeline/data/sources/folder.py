"""Source of pictures in a folder and its sub-folders."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from pathlib import Path

from pipeline.data.sources.files import Files, files_source
from pipeline.data.sources.reason import reason_of
from pipeline.errors import UserError


def open_folder(path: Path) -> Files:
    """Open the pictures below a folder, labelled by a labels file or by class sub-folders.

    Symbolic links are followed, even out of the folder, because users put them there on purpose. A
    link to one of its own parent folders is ignored.

    Raises:
        UserError: if it has no picture, cannot be listed, or its labels or folders are wrong.
    """
    return files_source(
        path.resolve().name, str(path), files_below(path), lambda file: (path / file).read_bytes()
    )


def files_below(folder: Path) -> list[str]:
    """List every file below a folder by relative name, in any order; follows links.

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
    """Yield every file below a folder by relative name, in any order; follows links.

    Args:
        root: Folder that names are relative to.
        inside: Folder to start from, relative to `root`.
        above: Real paths of the folders above `inside`.

    Raises:
        OSError: if a folder cannot be listed.
    """
    real = os.path.realpath(root / inside)
    # A link to a parent folder would be followed for ever.
    if real in above:
        return
    with os.scandir(root / inside) as entries:
        for entry in entries:
            name = posixpath.join(inside, entry.name)
            if entry.is_dir():
                yield from walk(root, name, above | {real})
            # List broken links, so that they are reported; pipes and devices must not be read.
            elif entry.is_file() or not os.path.exists(entry.path):
                yield name
