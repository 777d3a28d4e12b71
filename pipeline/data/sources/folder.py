"""Sources of the picture files in a folder: a plain folder, or `tfds.ImageFolder`'s layout."""

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
    """Open the pictures in a folder and all its sub-folders.

    Labels come from a labels file, such as labels.csv, or without one from class sub-folders.

    Raises:
        UserError: if it has no picture, cannot be listed, or labels or class folders are wrong.
    """
    return files_source(
        path.resolve().name, str(path), _files_below(path), lambda file: (path / file).read_bytes()
    )


def open_image_folder(root: Path, split: str) -> Source:
    """Open one split, whose pictures are `ROOT/SPLIT/CLASS/picture.png`, sorted by name.

    Raises:
        UserError: if there is no such split, or it holds no picture.

    Source: `tensorflow_datasets.ImageFolder`, which reads fewer formats and does not sort by name.
    """
    splits = _folders_in(root)
    if split not in splits:
        raise UserError(
            "`tfds:folder=PATH:SPLIT` must name a folder of splits, and one of them. "
            f"Received: {root}:{split}, with {', '.join(splits) or 'none'}"
        )
    # Collect the classes of all splits, so that a class has the same index in each split.
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
    """Yield every file below a folder by its name relative to `root`, in any order; follow links.

    Only the recursion passes `inside`, the sub-folder, and `above`, the real paths above it.

    Raises:
        OSError: if a folder cannot be listed.
    """
    real = os.path.realpath(root / inside)
    # Stop at a link to a parent folder, which would be followed for ever.
    if real in above:
        return
    with os.scandir(root / inside) as entries:
        for entry in entries:
            name = posixpath.join(inside, entry.name)
            # Follow links even out of the folder: users put them there on purpose.
            if entry.is_dir():
                yield from walk(root, name, above | {real})
            # Yield broken links, so that they are reported as unreadable; skip pipes and devices.
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
