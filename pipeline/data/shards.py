"""Shard, the unit of preparation: part of the set in one TFRecord file per resolution.

A shard's content depends on the source and the configuration only. So shards can be written in any
order, by any process or machine, and existing shards are not written again.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipeline.config import DataConfig
from pipeline.data.conversion import UNLABELLED, Converted, Result, Skipped
from pipeline.data.records import ShardFile, Split
from pipeline.data.sources import Source
from pipeline.data.sources.reason import reason_of
from pipeline.errors import UserError
from pipeline.shape import Shape, shape_name
from savedmodels.atomic import sync, write_file
from savedmodels.checksum import checksum

PICTURES = 2048
"""Most pictures in a shard, and so the most work that a kill can lose."""
JOURNAL = "journal"


@dataclass(frozen=True)
class Shard:
    """Part of a split, to be written to one file per resolution."""

    split: Split
    name: str
    """Name without extension, such as `train-00000-of-00004`."""
    pictures: tuple[int, ...]
    """Numbers of the pictures in the source, in the order of the shard."""
    mirrored: bool
    """True if each picture is followed by its mirrored copy."""


class Written(BaseModel):
    """Files of a shard by resolution, and pictures left out by their number in the source."""

    model_config = ConfigDict(frozen=True)

    files: dict[int, ShardFile]
    skipped: dict[int, Skipped]


def shards_of(source: Source, data: DataConfig) -> list[Shard]:
    """Divide a source into shards, those of `train` first.

    Of the pictures in a fixed random order the first `max_images` are used, and of those the last
    share `val` becomes the split `val`.

    Raises:
        UserError: if `data.classes` names a class that the source lacks, or a split is empty.
    """
    labels = np.array([UNLABELLED if p.label is None else p.label for p in source])
    # Random, so that every part is a fair sample; by a fixed seed, because the set must not depend
    # on the run.
    wanted = np.random.default_rng(0).permutation(len(labels))
    if data.classes is not None:
        unknown = sorted(set(data.classes) - set(source.classes))
        if unknown:
            raise UserError(
                "`data.classes` must be classes of the source, "
                f"{', '.join(source.classes) or 'which has none'}. Received: {', '.join(unknown)}"
            )
        wanted = wanted[np.isin(labels[wanted], [source.classes.index(c) for c in data.classes])]
    wanted = wanted[: data.max_images]
    held_out = round(len(wanted) * data.val)
    if held_out == len(wanted) or (data.val and not held_out):
        raise UserError(
            "`data.val` must leave pictures on both sides. "
            f"Received: {data.val} of {len(wanted)} pictures"
        )
    train, val = wanted[: len(wanted) - held_out], wanted[len(wanted) - held_out :]
    return [
        *_stretches("train", train, mirrored=data.mirrored_copies),
        *_stretches("val", val, mirrored=False),
    ]


def write_shard(
    folder: Path,
    shard: Shard,
    results: Iterable[Result],
    shapes: Sequence[Shape],
    labels: Sequence[int],
) -> None:
    """Write the files of a shard from its converted pictures, and then its entry in the journal.

    `labels` has the label in records of each class of the source.

    Raises:
        OSError: if they cannot be written; only temporary files are left.
    """
    # Imported here, so that mistakes are reported without waiting for TensorFlow.
    import tensorflow as tf

    finals = {shape[0]: folder / shape_name(shape) / f"{shard.name}.tfrecords" for shape in shapes}
    # A kill leaves temporary files only, which the next attempt overwrites.
    temporary = {size: final.with_suffix(".tmp") for size, final in finals.items()}
    skipped: dict[int, Skipped] = {}
    records = 0
    with _system_errors(), ExitStack() as stack:
        writers = []
        # Results come from the largest size to the smallest.
        for size in reversed(finals):
            finals[size].parent.mkdir(exist_ok=True)
            writers.append(stack.enter_context(tf.io.TFRecordWriter(str(temporary[size]))))
        for index, result in zip(shard.pictures, results, strict=True):
            if not isinstance(result, Converted):
                # For the journal: a resumed preparation does not read the picture again.
                skipped[index] = result
                continue
            label = result.label if result.label == UNLABELLED else labels[result.label]
            for mirrored, images in enumerate(result.images):
                records += 1
                for writer, image in zip(writers, images, strict=True):
                    writer.write(_example(image, label, index, mirrored))
    files = {}
    for size, final in finals.items():
        # On the disk before the rename, so that a crash leaves no empty shard.
        sync(temporary[size])
        files[size] = ShardFile(
            name=f"{final.parent.name}/{final.name}",
            records=records,
            bytes=temporary[size].stat().st_size,
            sha256=checksum(temporary[size]),
        )
        temporary[size].replace(final)
        sync(final.parent)
    # Written last: the entry marks the shard as done.
    journal = _entry(folder, shard)
    journal.parent.mkdir(exist_ok=True)
    write_file(journal, Written(files=files, skipped=skipped).model_dump_json())


def classes_taken(classes: Sequence[str], data: DataConfig) -> tuple[str, ...]:
    """Return the classes that `data.classes` chooses, in the source's order."""
    if data.classes is None:
        return tuple(classes)
    # An accented letter may be one character in one place, and two in the other.
    wanted = {unicodedata.normalize("NFC", name) for name in data.classes}
    return tuple(name for name in classes if unicodedata.normalize("NFC", name) in wanted)


def label_numbers(classes: Sequence[str], data: DataConfig) -> list[int]:
    """Number the chosen classes; for each class of the source its number, or -1."""
    taken = classes_taken(classes, data)
    return [taken.index(name) if name in taken else UNLABELLED for name in classes]


def finished(folder: Path, shard: Shard) -> Written | None:
    """Read the journal's entry of a shard that is done; None if it is not."""
    try:
        return Written.model_validate_json(_entry(folder, shard).read_bytes())
    except FileNotFoundError:
        return None


def _entry(folder: Path, shard: Shard) -> Path:
    return folder / JOURNAL / f"{shard.name}.json"


def _stretches(split: Split, pictures: np.ndarray, *, mirrored: bool) -> list[Shard]:
    of = -(-len(pictures) // PICTURES)
    # Nearly equal parts, so that processes finish at about the same time.
    parts = np.array_split(pictures, of) if of else []
    return [
        Shard(split, f"{split}-{number:05d}-of-{of:05d}", tuple(part.tolist()), mirrored)
        for number, part in enumerate(parts)
    ]


@contextmanager
def _system_errors() -> Iterator[None]:
    # As OSError, such as that of a full disk, errors are reported in one line.
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(reason_of(error)) from error


def _example(image: bytes, label: int, index: int, mirrored: int) -> bytes:
    import tensorflow as tf

    def integer(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
        "label": integer(label),
        "index": integer(index),
        "mirrored": integer(mirrored),
    }
    serialized: bytes = tf.train.Example(
        features=tf.train.Features(feature=feature)
        # Equal input must give equal bytes, and map fields have no order.
    ).SerializeToString(deterministic=True)
    return serialized
