"""Source of pictures in `SPLIT/CLASS/` folders, the layout of `tfds.ImageFolder`."""

from __future__ import annotations

from pathlib import Path

from pipeline.data.sources.files import Files, left_out_of, pictures_among
from pipeline.data.sources.folder import files_below
from pipeline.errors import UserError
from pipeline.errors.shown import shown


def open_image_folder(root: Path, split: str) -> Files:
    """Open the pictures of one split, sorted by name; classes are those of all splits.

    Args:
        root: Folder with pictures as `SPLIT/CLASS/picture.png`.
        split: Name of the split.

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
    in_classes = [file for file in files_below(folder) if "/" in file]
    labels = {file: index[file.split("/")[0]] for file in pictures_among(str(folder), in_classes)}
    name = f"{root.resolve().name}-{split}"
    return Files(
        shown(name),
        tuple(map(shown, classes)),
        labels,
        lambda file: (folder / file).read_bytes(),
        left_out_of(in_classes),
    )


def _folders_in(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(
        entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
