"""Prepared sets: folders with TFRecord files per resolution and a manifest, to train on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.data.conversion import Skipped
from pipeline.errors import UserError
from pipeline.shape import Shape
from savedmodels.checksum import checksum

FORMAT_VERSION = 2  # Version of the manifest that this code writes and reads.
MANIFEST = "manifest.json"
Split = Literal["train", "val"]  # Part of a set: `val` is held out from training.


class ShardFile(BaseModel):
    """TFRecord file of one shard, which is a part of the set, at one resolution."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Path in the set's folder."""
    records: int
    bytes: int
    sha256: str
    """SHA-256 of the file, in hex."""


class RecordSet(BaseModel):
    """Manifest of a prepared set: the content of `manifest.json`, and the folder that holds it."""

    model_config = ConfigDict(frozen=True)

    folder: Path = Field(default=Path(), exclude=True)
    """Folder of the set; not stored in the manifest, so that the folder can be moved."""
    format_version: Literal[2]
    """Version, which changes when the meaning of a field or of the records changes."""
    data_hash: str
    """SHA-256, in hex, of `Preparation.identity`: everything that decides the records' content."""
    source: str
    """Short name of the source."""
    source_hash: str
    """SHA-256, in hex, of the source's stored bytes, labels and classes, in order."""
    classes: tuple[str, ...]
    """Names of the classes, by label; empty if the source has none."""
    resolutions: tuple[int, ...]
    """Sides of the square images in pixels, ascending; the single height if `width` is set."""
    width: int | None = None
    """Width in pixels if the images are not square; None for squares."""
    channels: Literal[1, 3]
    """Channels of the images: 1 for grey, 3 for RGB."""
    preparation: dict[str, object]
    """Settings in `data` that decided the records, except `channels` and `format`."""
    format: Literal["png", "jpeg", "raw"]
    """Encoding of the pixels in records."""
    skipped: tuple[Skipped, ...]
    """Pictures that were left out because they could not be read or converted."""
    left_out: dict[str, int] = {}
    """Number of files that were not read because of their extension, by extension."""
    shards: dict[Split, dict[int, tuple[ShardFile, ...]]]
    """Files of each split and resolution, in the order of the shards."""

    @property
    def count(self) -> int:
        """Number of images to train on, at each resolution."""
        return self.size("train")

    def size(self, split: Split) -> int:
        """Return the number of images in a split, at each resolution."""
        shards = self.shards.get(split, {}).get(self.resolutions[0], ())
        return sum(shard.records for shard in shards)

    def shape(self, resolution: int) -> Shape:
        """Return height and width of the images at a resolution."""
        return resolution, self.width or resolution

    def originals(self, split: Split = "train") -> int:
        """Return the number of images in a split, without the mirrored copies."""
        copies = split == "train" and bool(self.preparation.get("mirrored_copies"))
        return self.size(split) // 2 if copies else self.size(split)

    def shard_files(self, resolution: int, split: Split = "train") -> tuple[ShardFile, ...]:
        """Return the files of one resolution, in the order of the shards.

        Raises:
            ValueError: if the set was not prepared at this resolution, or has no such split.
        """
        if resolution not in self.resolutions:
            raise ValueError(
                f"`resolution` must be one of {self.resolutions}. Received: {resolution}"
            )
        if split not in self.shards:
            raise ValueError(f"`split` must be one of {', '.join(self.shards)}. Received: {split}")
        return self.shards[split][resolution]

    def files(self, resolution: int, split: Split = "train") -> list[Path]:
        """Return the paths of the files that `shard_files` returns, or raise its errors."""
        return [self.folder / shard.name for shard in self.shard_files(resolution, split)]


def is_prepared(folder: Path) -> bool:
    """Return whether a folder looks like a prepared set, with manifest and TFRecords."""
    return (folder / MANIFEST).is_file() and any(folder.glob("*x*/*.tfrecords"))


def open_records(folder: Path) -> RecordSet:
    """Open a prepared set that `growgan data prepare` or a training run has written.

    Raises:
        UserError: if the folder is missing, its manifest is missing or damaged, or a TFRecord file
            is missing or has the wrong size.
    """
    if not folder.is_dir():
        raise UserError(
            f"a prepared set must be a folder. Received: {folder}, which is not one; "
            "`growgan data prepare` makes one"
        )
    advice = f"Received: {folder}; delete it to have it prepared again"
    try:
        records = RecordSet.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"a prepared set must have a `{MANIFEST}` of format {FORMAT_VERSION}. {advice}"
        ) from error
    records = records.model_copy(update={"folder": folder})
    for shard in _every_shard(records):
        file = folder / shard.name
        # Check sizes only: checksums, as `growgan data verify` compares, would delay every start.
        if not file.is_file() or file.stat().st_size != shard.bytes:
            raise UserError(f"a prepared set must have its `{shard.name}` whole. {advice}")
    return records


def verify(records: RecordSet, report: Callable[[int, int], None] | None = None) -> None:
    """Compare the checksum of every file of a set with the manifest.

    `report` is called with the number of files done, and of all files.

    Raises:
        UserError: if files are damaged; the message names all of them.
    """
    shards = _every_shard(records)
    damaged = []
    for done, shard in enumerate(shards, start=1):
        if checksum(records.folder / shard.name) != shard.sha256:
            damaged.append(shard.name)
        if report is not None:
            report(done, len(shards))
    if damaged:
        raise UserError(
            "every file of a prepared set must have the checksum in its manifest. "
            f"Received: {records.folder}, with {len(damaged)} of {len(shards)} damaged: "
            f"{', '.join(damaged)}"
        )


def _every_shard(records: RecordSet) -> list[ShardFile]:
    return [
        shard
        for by_resolution in records.shards.values()
        for shards in by_resolution.values()
        for shard in shards
    ]
