"""Source of a data set that TensorFlow Datasets (TFDS) has prepared, read without TensorFlow."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import tensorflow_datasets as tfds
from tensorflow_datasets.core.read_only_builder import builder_from_files

from pipeline.data.sources.example import bytes_in, example_features, integers_in
from pipeline.data.sources.files import decode
from pipeline.data.sources.reason import as_user_error, reason_of
from pipeline.data.sources.source import Source
from pipeline.data.sources.tfrecord_index import index_records
from pipeline.errors import UserError

NAME_AND_SPLIT = re.compile(r"([^:]+(?::[\d*]+\.[\d*]+\.[\d*]+)?)(?::(\D.*))?")


def open_tfds(spec: str) -> Source:
    """Open the pictures of one split of a prepared set, in stored order.

    Nothing is downloaded or prepared: the set must be in the folder that the environment variable
    TFDS_DATA_DIR names, or in the default folder of TFDS. The set must have exactly one feature of
    type `Image`. Its labels come from the feature of type `ClassLabel`, if there is exactly one.

    Args:
        spec: Set as `NAME[/CONFIG][:VERSION][:SPLIT]`; a split is for example `test` or
            `train[:10%]`, and `train` by default.

    Raises:
        UserError: if the set is not prepared, damaged, without pictures or without the split, has
            no or several features of type `Image`, floating-point pictures or wrong labels, or is
            stored as something other than TFRecord or ArrayRecord.
    """
    match = NAME_AND_SPLIT.fullmatch(spec)
    name, split = (match[1], match[2] or "train") if match else (spec, "train")
    builder = _find_prepared(name)
    features = dict(_flatten(builder.info.features))
    picture, label = _picture_and_label(name, features)
    examples = _open_examples(name, builder, split)
    content = partial(_content, examples, picture)
    classes = () if label is None else tuple(features[label].names)
    labels = None if label is None else _labels(name, examples, label, len(classes))

    def read(number: int) -> PIL.Image.Image:
        return decode(partial(content, number))

    return Source(f"{name}-{split}", examples.count, content, read, classes, labels)


def _find_prepared(name: str) -> Any:
    data_dir = os.environ.get("TFDS_DATA_DIR")
    try:
        return builder_from_files(name, data_dir=data_dir)
    except (ValueError, OSError) as error:
        raise UserError(
            f"`tfds:` must name a prepared set: `tfds build {name}` prepares it. "
            f"Received: {name!r}, not found in {data_dir or 'the default TFDS_DATA_DIR'}"
        ) from error


def _picture_and_label(name: str, features: dict[str, Any]) -> tuple[str, str | None]:
    """Return the name of the feature with pictures, and of the one with labels or None."""
    images = [key for key, feature in features.items() if _is_picture(feature)]
    if len(images) != 1 or features[images[0]].np_dtype not in (np.uint8, np.uint16):
        raise UserError(
            "a set must have one feature of 8-bit or 16-bit images. "
            f"Received: {name}, with {', '.join(sorted(images)) or 'none'}"
        )
    labels = [key for key, value in features.items() if isinstance(value, tfds.features.ClassLabel)]
    return images[0], labels[0] if len(labels) == 1 else None


def _flatten(features: Any, inside: str = "") -> Iterator[tuple[str, Any]]:
    # Join nested names by `/`, as TFDS does in the stored examples.
    for name, feature in features.items():
        if isinstance(feature, tfds.features.FeaturesDict):
            yield from _flatten(feature, f"{inside}{name}/")
        else:
            yield f"{inside}{name}", feature


def _is_picture(feature: Any) -> bool:
    # Exclude `LabeledImage`, a subclass of `Image` whose pixels are labels (a segmentation map).
    labelled = isinstance(feature, tfds.features.LabeledImage)
    return isinstance(feature, tfds.features.Image) and not labelled


@dataclass(frozen=True)
class _Examples:
    """Serialized examples of one split."""

    count: int
    read: Callable[[int], bytes]  # Function from an example's index to the example.
    scan: Callable[[], Iterable[bytes | memoryview]]
    """Function that iterates over all examples, without checking checksums of TFRecords."""


def _open_examples(name: str, builder: Any, split: str) -> _Examples:
    try:
        instructions = builder.info.splits[split].file_instructions
    except (KeyError, ValueError) as error:
        raise UserError(
            f"the split of {name} must be made of {', '.join(sorted(builder.info.splits))}. "
            f"Received: {split!r}"
        ) from error
    if not instructions:
        raise UserError(f"a source must hold pictures. Received: {name}, with none in {split!r}")
    match builder.info.file_format:
        case tfds.core.FileFormat.TFRECORD:
            return _open_tfrecords(instructions)
        case tfds.core.FileFormat.ARRAY_RECORD:
            return _open_array_records(name, builder, split)
        case file_format:
            raise UserError(
                "a set must be stored as tfrecord or array_record. "
                f"Received: {name}, stored as {file_format.value}"
            )


def _open_tfrecords(instructions: list[Any]) -> _Examples:
    # Each instruction names a shard; the split has `take` of its examples, after the first `skip`.
    files = [index_records(Path(shard.filename)) for shard in instructions]
    for shard, file in zip(instructions, files, strict=True):
        if len(file) != shard.examples_in_shard:
            raise UserError(
                f"a shard must hold the {shard.examples_in_shard} examples that the set states. "
                f"Received: {file.path}, with {len(file)}"
            )
    ends = list(accumulate((shard.take for shard in instructions), initial=0))

    def read(number: int) -> bytes:
        index = bisect_right(ends, number) - 1
        return files[index].read(instructions[index].skip + number - ends[index])

    def scan() -> Iterator[memoryview]:
        for shard, file in zip(instructions, files, strict=True):
            yield from islice(file.scan(), shard.skip, shard.skip + shard.take)

    return _Examples(ends[-1], read, scan)


def _open_array_records(name: str, builder: Any, split: str) -> _Examples:
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    # Catch every exception: for a damaged file the C++ reader raises errors of various types.
    with as_user_error("a set must be readable", name, Exception):
        records = builder.as_data_source(split, deserialize_method=raw)

    def read(number: int) -> bytes:
        try:
            return records[number]
        except Exception as error:
            raise OSError(f"example {number} cannot be read: {reason_of(error)}") from error

    return _Examples(len(records), read, lambda: map(read, range(len(records))))


def _content(examples: _Examples, feature: str, number: int) -> bytes:
    serialized = examples.read(number)
    try:
        [content] = bytes_in(example_features(serialized)[feature])
    except (KeyError, ValueError) as error:
        raise OSError(f"example {number} has no picture {feature!r}") from error
    return bytes(content)


def _labels(name: str, examples: _Examples, feature: str, classes: int) -> npt.NDArray[np.int64]:
    # Scan without checking checksums, for which all pictures would be read.
    found = (_label(serialized, feature) for serialized in examples.scan())
    rule = f"{feature!r} must be one of {classes} labels in each example"
    with as_user_error(rule, name, OSError, ValueError):
        labels = np.fromiter(found, np.int64, examples.count)
        # Allow -1, which TFDS writes for a missing label.
        if not -1 <= labels.min() <= labels.max() < classes:
            raise ValueError(f"{labels.min()} to {labels.max()}")
    return labels


def _label(serialized: bytes | memoryview, feature: str) -> int:
    values = integers_in(example_features(serialized).get(feature, memoryview(b"")))
    if len(values) != 1:
        raise ValueError(f"{len(values)} labels in an example")
    return values[0]
