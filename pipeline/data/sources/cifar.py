"""Source of CIFAR-10 and CIFAR-100 pictures, in the published Python or binary files (batches).

Source: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.data.sources.arrays import arrays_source
from pipeline.data.sources.plain_pickle import load_plain_pickle
from pipeline.data.sources.reason import as_user_error
from pipeline.data.sources.source import Source
from pipeline.errors import UserError

CHANNELS, SIDE = 3, 32
PIXELS = CHANNELS * SIDE * SIDE  # Number of values, and of bytes, in one picture.


@dataclass(frozen=True)
class _Edition:
    """One of the four published archives: names of files, and of keys in Python batches."""

    training: tuple[str, ...]
    test: str
    names_file: str
    label_bytes: int = 0
    """Bytes before the pixels of a binary record; the last is the label. 0 for Python batches."""
    label_key: str = "labels"
    names_key: str = "label_names"


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_BINARY_BATCHES = tuple(f"{batch}.bin" for batch in _BATCHES)
_EDITIONS = (
    _Edition(_BATCHES, "test_batch", "batches.meta"),
    _Edition(_BINARY_BATCHES, "test_batch.bin", "batches.meta.txt", label_bytes=1),
    _Edition(("train",), "test", "meta", label_key="fine_labels", names_key="fine_label_names"),
    # Two labels per record: one of 20 coarse classes, then one of 100 fine classes, which is read.
    _Edition(("train.bin",), "test.bin", "fine_label_names.txt", label_bytes=2),
)


class _Batch(NamedTuple):
    """Pixels (count, 3072), a red, a green and a blue plane in each row; and labels (count,)."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


def open_cifar(path: Path) -> Source | None:
    """Open the training set in a folder of CIFAR, or one batch file; return None for other paths.

    Raises:
        UserError: if a batch is missing or damaged, or has unexpected content.
    """
    folder = path if path.is_dir() else path.parent
    for edition in _EDITIONS:
        batches = (*edition.training, edition.test)
        if not (folder / edition.names_file).is_file():
            continue
        if path.is_file() and path.name in batches:
            return _open(f"{folder.resolve().name}-{path.name}", edition, folder, [path.name])
        if path.is_dir() and any((folder / batch).is_file() for batch in batches):
            return _open(folder.resolve().name, edition, folder, edition.training)
    return None


def _open(name: str, edition: _Edition, folder: Path, files: Sequence[str]) -> Source:
    classes = _class_names(edition, folder / edition.names_file)
    batches = [
        _read_binary(folder / file, edition.label_bytes)
        if edition.label_bytes
        else _read_pickle(folder / file, edition.label_key)
        for file in files
    ]
    labels = np.concatenate([batch.labels for batch in batches])
    if not len(labels) or labels.min() < 0 or labels.max() >= len(classes):
        raise UserError(
            f"labels of CIFAR must be numbers of its {len(classes)} classes, at least one label. "
            f"Received: {folder}, with others or none in {', '.join(files)}"
        )
    pixels = np.concatenate([batch.pixels for batch in batches])
    # Move the colour planes to the last axis, in a view, so that pixels are in memory once.
    images = pixels.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return arrays_source(name, images, labels, classes)


def _class_names(edition: _Edition, path: Path) -> tuple[str, ...]:
    names: Any
    if edition.label_bytes:
        names = _read_bytes(path).decode("latin1").split()
    else:
        names = load_plain_pickle(path).get(edition.names_key)
    texts = [
        # Decode names: the published files are from Python 2, which wrote text as bytes.
        name.decode("latin1") if isinstance(name, bytes) else str(name)
        for name in (names if isinstance(names, list) else [])
    ]
    if not texts or len(set(texts)) < len(texts):
        raise UserError(
            f"class names of CIFAR must be a list of different texts. Received: {path}, with "
            f"{', '.join(texts)[:80] or 'none'}"
        )
    return tuple(texts)


def _read_binary(path: Path, label_bytes: int) -> _Batch:
    content = _read_bytes(path)
    if len(content) % (label_bytes + PIXELS):
        raise UserError(
            f"a binary batch of CIFAR must hold records of {label_bytes + PIXELS} bytes. "
            f"Received: {path}, of {len(content)}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, label_bytes + PIXELS)
    return _Batch(records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64))


def _read_pickle(path: Path, label_key: str) -> _Batch:
    found = load_plain_pickle(path)
    pixels, labels = found.get("data"), found.get(label_key)
    if (
        not isinstance(pixels, np.ndarray)
        or not isinstance(labels, list)
        # Within int64, which holds labels.
        or not all(isinstance(label, int) and abs(label) < 2**63 for label in labels)
        or pixels.shape != (len(labels), PIXELS)
    ):
        raise UserError(
            f"a Python batch of CIFAR must hold `data`, {PIXELS} bytes for each of its "
            f"`{label_key}`. Received: {path}, with {', '.join(found)[:80]}"
        )
    return _Batch(pixels, np.array(labels, np.int64))


def _read_bytes(path: Path) -> bytes:
    with as_user_error("a file of CIFAR must be readable", path, OSError):
        return path.read_bytes()
