"""Source of multi-resolution TFRecords of the official ProGAN, StyleGAN and StyleGAN2 tools.

A set is a folder with `NAME-r02.tfrecords` for 4x4 pixels up to `NAME-rNN.tfrecords` for 2^NN, and
`NAME-rxx.labels`, a NumPy array of one-hot rows. A record is a `tf.train.Example` with `shape`
(channels, height, width) and `data` (bytes in that order).

Source: https://github.com/tkarras/progressive_growing_of_gans, `dataset_tool.py`.
"""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image

from pipeline.data.sources.example import bytes_in, example_features, integers_in
from pipeline.data.sources.reason import refusing
from pipeline.data.sources.source import Source
from pipeline.data.sources.tfrecord_index import RecordFile, index_records
from pipeline.errors import UserError

LEVEL = re.compile(r"(.+)-r(\d\d)\.tfrecords")


def is_level(file: Path) -> bool:
    """Return whether a file has a name such as `NAME-r05.tfrecords`."""
    return LEVEL.fullmatch(file.name) is not None


def largest_level_in(folder: Path) -> Path | None:
    """Find the file of the largest pictures in a folder of official TFRecords, or return None.

    Raises:
        UserError: if the folder holds more than one set.
    """
    levels = {
        (match[1], match[2]): file
        for file in folder.glob("*.tfrecords")
        if (match := LEVEL.fullmatch(file.name))
    }
    sets = sorted({name for name, _ in levels})
    if len(sets) > 1:
        raise UserError(
            "a folder of official TFRecords must hold one set. "
            f"Received: {folder}, with {', '.join(sets)}"
        )
    return levels[max(levels)] if levels else None


def open_tfrecords(file: Path) -> Source:
    """Open the pictures of one resolution: grey or RGB, with labels if there are any.

    Raises:
        UserError: if a file is damaged or empty, labels are not one-hot, or there is not one for
            each picture.
    """
    records = index_records(file)
    if not len(records):
        raise UserError(f"a source must hold pictures. Received: {file}, with none")
    name = file.name.rpartition("-r")[0]
    classes, labels = _labels(file.with_name(f"{name}-rxx.labels"), len(records))
    content, read = partial(_content, records), partial(_picture, records)
    return Source(name, len(records), content, read, classes, labels)


def _labels(path: Path, count: int) -> tuple[tuple[str, ...], npt.NDArray[np.int64] | None]:
    if not path.is_file():
        return (), None
    rule = (
        "labels of official TFRecords must be a NumPy array of a one-hot row for each picture; "
        "without that file pictures are not labelled"
    )
    with refusing(rule, path, OSError, ValueError, TypeError, EOFError):
        one_hot = np.asarray(np.load(path, allow_pickle=False), np.float64)
        if one_hot.shape[:-1] != (count,):
            raise ValueError(f"{one_hot.shape} for {count} pictures")
        if not np.isin(one_hot, (0, 1)).all() or (one_hot.sum(axis=1) > 1).any():
            raise ValueError("other values")
    if not one_hot.any():
        return (), None
    # The official sets do not name their classes.
    classes = tuple(str(index) for index in range(one_hot.shape[1]))
    return classes, np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1)


def _content(records: RecordFile, number: int) -> bytes:
    return _parsed(records, number)[1]


def _picture(records: RecordFile, number: int) -> PIL.Image.Image:
    shape, data = _parsed(records, number)
    # Official records store channels first.
    pixels = np.frombuffer(data, np.uint8).reshape(shape).transpose(1, 2, 0)
    return PIL.Image.fromarray(np.ascontiguousarray(pixels if shape[0] == 3 else pixels[..., 0]))


def _parsed(records: RecordFile, number: int) -> tuple[list[int], bytes]:
    try:
        features = example_features(records.read(number))
        shape = integers_in(features["shape"])
        [data] = bytes_in(features["data"])
    except (KeyError, ValueError) as error:
        raise OSError(f"record {number} of {records.path.name} lacks `shape` or `data`") from error
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1 or math.prod(shape) != len(data):
        raise OSError(
            f"record {number} of {records.path.name} has {len(data)} bytes for the shape {shape}"
        )
    return shape, bytes(data)
