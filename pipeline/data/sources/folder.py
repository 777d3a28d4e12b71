"""Sources of picture files below a folder: a plain one, or `tfds.ImageFolder`'s layout."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from pathlib import Path

from pipeline.data.sources.files import encoded_source, files_source, left_out_of, pictures_among
from pipeline.data.sources.reason import reason_of
from pipeline.data.sources.source import Source
from pipeline.errors import UserError
from pipeline.errors.shown import shown


def open_folder(path: Path) -> Source:
    """Open the pictures below a folder, labelled by a labels file or by class sub-folders.

    Raises:
        UserError: if it has no picture, cannot be listed, or its labels or folders are wrong.
    """
    return files_source(
        path.resolve().name, str(path), _files_below(path), lambda file: (path / file).read_bytes()
    )


def open_image_folder(root: Path, split: str) -> Source:
    """Open the pictures `SPLIT/CLASS/picture.png` of one split, sorted by name.

    Raises:
        UserError: if there is no such split, or it holds no picture.

    Source: `tensorflow_datasets.ImageFolder`; ours reads more formats and sorts by name.
    """
    splits = _folders_in(root)
    if split not in splits:
        raise UserError(
            "`tfds:folder=PATH:SPLIT` must name a folder of splits, and one of them. "
            f"Received: {root}:{split}, with {', '.join(splits) or 'none'}"
        )
    # All splits, so that the test split has the same label numbers.
    classes = tuple(sorted({name for each in splits for name in _folders_in(root / each)}))
    index = {name: number for number, name in enumerate(classes)}
    folder = root / split
    in_classes = [file for file in _files_below(folder) if "/" in file]
    labels = {file: index[file.split("/")[0]] for file in pictures_among(str(folder), in_classes)}
    return encoded_source(
        f"{root.resolve().name}-{split}",
        tuple(map(shown, classes)),
        labels,
        lambda file: (folder / file).read_bytes(),
        left_out_of(in_classes),
    )


def walk(root: Path, inside: str = "", above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield every file below a folder by relative name, in any order; follows links.

    `inside` is the folder to start from, and `above` has the real paths of those above it.

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
            # Links are followed even out of the folder: users put them there on purpose.
            if entry.is_dir():
                yield from walk(root, name, above | {real})
            # List broken links, so that they are reported; pipes and devices must not be read.
            elif entry.is_file() or not os.path.exists(entry.path):
                yield name


def _files_below(folder: Path) -> list[str]:
    try:
        return list(walk(folder))
    except OSError as error:
        raise UserError(
            f"a source must be readable. Received: {error.filename} ({reason_of(error)})"
        ) from error


def _folders_in(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(
        entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
