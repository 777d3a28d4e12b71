"""Source of TFRecords made by the official tools of ProGAN, StyleGAN and StyleGAN2.

A set is a folder with one file per resolution, from `NAME-r02.tfrecords` for 4x4 pixels up to
`NAME-rNN.tfrecords` for a side of 2^NN, and `NAME-rxx.labels`, a NumPy array of one-hot rows. A
record is a `tf.train.Example` with `shape` (channels, height, width) and `data`, its pixels as
uint8 in the order of `shape`.

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
from pipeline.data.sources.reason import as_user_error
from pipeline.data.sources.source import Source
from pipeline.data.sources.tfrecord_index import RecordFile, index_records
from pipeline.errors import UserError

FILE_NAME = re.compile(r"(.+)-r(\d\d)\.tfrecords")
"""Name of the set, and base-2 logarithm of the side in pixels."""


def is_official(file: Path) -> bool:
    """Return whether a file has a name of the official tools, such as `NAME-r05.tfrecords`."""
    return FILE_NAME.fullmatch(file.name) is not None


def find_tfrecords(folder: Path) -> Path | None:
    """Find the file of the highest resolution in a folder of official TFRecords, or return None.

    Raises:
        UserError: if the folder holds more than one set.
    """
    files = {
        (match[1], match[2]): file
        for file in folder.glob("*.tfrecords")
        if (match := FILE_NAME.fullmatch(file.name))
    }
    sets = sorted({name for name, _ in files})
    if len(sets) > 1:
        raise UserError(
            "a folder of official TFRecords must hold one set. "
            f"Received: {folder}, with {', '.join(sets)}"
        )
    return files[max(files)] if files else None


def open_tfrecords(file: Path) -> Source:
    """Open the pictures in a file of one resolution: grey or RGB, with labels if there are any.

    Raises:
        UserError: if a file is damaged or empty, or the labels are not one one-hot row for each
            picture. A row of zeros is a picture without a label.
    """
    records = index_records(file)
    if not len(records):
        raise UserError(f"a source must hold pictures. Received: {file}, with none")
    name = file.name.rpartition("-r")[0]
    classes, labels = _read_labels(file.with_name(f"{name}-rxx.labels"), len(records))
    content, read = partial(_content, records), partial(_picture, records)
    return Source(name, len(records), content, read, classes, labels)


def _read_labels(path: Path, count: int) -> tuple[tuple[str, ...], npt.NDArray[np.int64] | None]:
    if not path.is_file():
        return (), None
    rule = (
        "labels of official TFRecords must be a NumPy array of a one-hot row for each picture; "
        "without that file pictures are not labelled"
    )
    with as_user_error(rule, path, OSError, ValueError, TypeError, EOFError):
        one_hot = np.asarray(np.load(path, allow_pickle=False), np.float64)
        if one_hot.shape[:-1] != (count,):
            raise ValueError(f"{one_hot.shape} for {count} pictures")
        if not np.isin(one_hot, (0, 1)).all() or (one_hot.sum(axis=1) > 1).any():
            raise ValueError("other values")
    if not one_hot.any():
        return (), None
    # Name the classes by their index, because the official sets do not name them.
    classes = tuple(str(index) for index in range(one_hot.shape[1]))
    return classes, np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1)


def _content(records: RecordFile, number: int) -> bytes:
    return _parse(records, number)[1]


def _picture(records: RecordFile, number: int) -> PIL.Image.Image:
    shape, data = _parse(records, number)
    # Move the channels to the last axis; official records store them first.
    pixels = np.frombuffer(data, np.uint8).reshape(shape).transpose(1, 2, 0)
    return PIL.Image.fromarray(np.ascontiguousarray(pixels if shape[0] == 3 else pixels[..., 0]))


def _parse(records: RecordFile, number: int) -> tuple[list[int], bytes]:
    """Return the shape and the pixels of a record; raise OSError if they do not fit."""
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
