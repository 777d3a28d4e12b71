"""Divide a source into shards and write them; each becomes one TFRecord file per resolution.

A shard's content depends on the source and the configuration only. So shards can be written in any
order, by any process or machine. A journal, a file per finished shard, lets an interrupted
preparation continue without writing a shard twice.
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

MAX_PICTURES = 2048
"""Maximum number of pictures in a shard; a killed process loses the shard that it was writing."""
JOURNAL = "journal"  # Name of the journal's folder, in the folder of the unfinished set.


@dataclass(frozen=True)
class Shard:
    """Part of a split (`train` or `val`), to be written to one file per resolution."""

    split: Split
    name: str  # Name without extension, such as `train-00000-of-00004`.
    pictures: tuple[int, ...]
    """Indices of the pictures in the source, in the order in which they are written."""
    mirrored: bool  # True if each picture is followed by its mirrored copy.


class Written(BaseModel):
    """Journal entry of a finished shard."""

    model_config = ConfigDict(frozen=True)

    files: dict[int, ShardFile]
    """File of each resolution."""
    skipped: dict[int, Skipped]
    """Pictures that could not be converted, by their index in the source."""


def shards_of(source: Source, data: DataConfig) -> list[Shard]:
    """Divide a source into shards; shards of the split `train` come first.

    The pictures of the chosen classes are put into a fixed random order. The first
    `data.max_images` are used; the last share `data.val` of these becomes the split `val`.

    Raises:
        UserError: if `data.classes` names a class that the source lacks, or a split is empty.
    """
    labels = np.array([UNLABELLED if p.label is None else p.label for p in source])
    # Shuffle, so that every part is a fair sample; with a fixed seed, so that sets repeat.
    wanted = np.random.default_rng(0).permutation(len(labels))
    if data.classes is not None:
        chosen = chosen_classes(source.classes, data)
        unknown = sorted(set(map(_nfc, data.classes)) - set(map(_nfc, chosen)))
        if unknown:
            raise UserError(
                "`data.classes` must be classes of the source, "
                f"{', '.join(source.classes) or 'which has none'}. Received: {', '.join(unknown)}"
            )
        wanted = wanted[np.isin(labels[wanted], [source.classes.index(c) for c in chosen])]
    wanted = wanted[: data.max_images]
    held_out = round(len(wanted) * data.val)
    if held_out == len(wanted) or (data.val and not held_out):
        raise UserError(
            "`data.val` must leave pictures on both sides. "
            f"Received: {data.val} of {len(wanted)} pictures"
        )
    train, val = wanted[: len(wanted) - held_out], wanted[len(wanted) - held_out :]
    return [
        *_split_evenly("train", train, mirrored=data.mirrored_copies),
        *_split_evenly("val", val, mirrored=False),
    ]


def write_shard(
    folder: Path,
    shard: Shard,
    results: Iterable[Result],
    shapes: Sequence[Shape],
    labels: Sequence[int],
) -> None:
    """Write the files of a shard, and then its journal entry, which marks it as finished.

    Args:
        folder: Folder of the unfinished set.
        shard: Shard to write.
        results: Conversion results of the shard's pictures, in their order.
        shapes: Image sizes, ascending.
        labels: Label to store for each class of the source.

    Raises:
        OSError: if the shard cannot be written; files may remain, but no journal entry.
    """
    # Import here, so that a user's mistakes are reported without waiting for TensorFlow.
    import tensorflow as tf

    finals = {shape[0]: folder / shape_name(shape) / f"{shard.name}.tfrecords" for shape in shapes}
    # Write under temporary names, which the next attempt overwrites if this one is killed.
    temporary = {size: final.with_suffix(".tmp") for size, final in finals.items()}
    skipped: dict[int, Skipped] = {}
    records = 0
    with _tensorflow_errors_as_os_errors(), ExitStack() as stack:
        writers = []
        # Order the writers as the images of a result: from the largest to the smallest.
        for size in reversed(finals):
            finals[size].parent.mkdir(exist_ok=True)
            writers.append(stack.enter_context(tf.io.TFRecordWriter(str(temporary[size]))))
        for index, result in zip(shard.pictures, results, strict=True):
            if not isinstance(result, Converted):
                # Keep it for the journal: a resumed preparation does not read the picture again.
                skipped[index] = result
                continue
            label = result.label if result.label == UNLABELLED else labels[result.label]
            for mirrored, images in enumerate(result.images):
                records += 1
                for writer, image in zip(writers, images, strict=True):
                    writer.write(_example(image, label, index, mirrored))
    files = {}
    for size, final in finals.items():
        # Flush the content to disk before the rename, so that a crash leaves no empty shard.
        sync(temporary[size])
        files[size] = ShardFile(
            name=f"{final.parent.name}/{final.name}",
            records=records,
            bytes=temporary[size].stat().st_size,
            sha256=checksum(temporary[size]),
        )
        temporary[size].replace(final)
        sync(final.parent)
    # Write the entry last, because it marks the shard as finished.
    entry = _entry_path(folder, shard)
    entry.parent.mkdir(exist_ok=True)
    write_file(entry, Written(files=files, skipped=skipped).model_dump_json())


def chosen_classes(classes: Sequence[str], data: DataConfig) -> tuple[str, ...]:
    """Return the classes of a source that `data.classes` chooses, in the source's order."""
    if data.classes is None:
        return tuple(classes)
    wanted = set(map(_nfc, data.classes))
    return tuple(name for name in classes if _nfc(name) in wanted)


def _nfc(name: str) -> str:
    # One Unicode form for comparisons, because an accented letter may be one character or two.
    return unicodedata.normalize("NFC", name)


def label_numbers(classes: Sequence[str], data: DataConfig) -> list[int]:
    """Return the label of each class of a source: its index among the chosen classes, or -1."""
    chosen = chosen_classes(classes, data)
    return [chosen.index(name) if name in chosen else UNLABELLED for name in classes]


def read_journal(folder: Path, shard: Shard) -> Written | None:
    """Read the journal entry of a shard; None if the shard is not finished."""
    try:
        return Written.model_validate_json(_entry_path(folder, shard).read_bytes())
    except FileNotFoundError:
        return None


def _entry_path(folder: Path, shard: Shard) -> Path:
    return folder / JOURNAL / f"{shard.name}.json"


def _split_evenly(split: Split, pictures: np.ndarray, *, mirrored: bool) -> list[Shard]:
    count = -(-len(pictures) // MAX_PICTURES)
    # Make nearly equal parts, so that processes finish at about the same time.
    parts = np.array_split(pictures, count) if count else []
    return [
        Shard(split, f"{split}-{number:05d}-of-{count:05d}", tuple(part.tolist()), mirrored)
        for number, part in enumerate(parts)
    ]


@contextmanager
def _tensorflow_errors_as_os_errors() -> Iterator[None]:
    """Raise TensorFlow's errors, as of a full disk, as OSError, which is reported in one line."""
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
        # Fix the order of map fields, which have none, so that equal input gives equal bytes.
    ).SerializeToString(deterministic=True)
    return serialized
