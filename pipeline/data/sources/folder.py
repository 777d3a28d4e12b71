"""Pictures in a folder and its sub-folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.data.sources.files import Files, files_source
from pipeline.errors import UserError


def open_folder(path: Path) -> Files:
    """The pictures below a folder, links followed; class sub-folders are labels.

    Raises:
        UserError: if it holds no picture, cannot be listed, or its folders are no labelled set.
    """
    try:
        files = list(_files_below(path))
    except OSError as error:
        raise UserError(
            f"a source must be readable. Received: {error.filename} ({error.strerror})"
        ) from error
    return files_source(
        path.resolve().name, str(path), files, lambda file: (path / file).read_bytes()
    )


def _files_below(path: Path) -> Iterator[str]:
    def stop(error: OSError) -> None:
        raise error

    visited: set[str] = set()
    for folder, subfolders, files in os.walk(path, onerror=stop, followlinks=True):
        visited.add(os.path.realpath(folder))
        # A link back to a folder above would otherwise be followed for ever.
        subfolders[:] = sorted(
            name
            for name in subfolders
            if os.path.realpath(os.path.join(folder, name)) not in visited
        )
        for file in files:
            yield Path(folder, file).relative_to(path).as_posix()
