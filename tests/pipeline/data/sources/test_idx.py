"""The idx files of MNIST: whole sets, single files, and damaged ones."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.sources import open_source


def write_idx(path: Path, values: np.ndarray, magic: int | None = None) -> None:
    magic = 0x0800 | values.ndim if magic is None else magic
    content = struct.pack(f">{values.ndim + 1}I", magic, *values.shape) + values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for split, count, suffix in (("train", 6, ".gz"), ("t10k", 4, "")):
        images = random.integers(0, 256, (count, 5, 7), np.uint8)
        write_idx(tmp_path / "tiny" / f"{split}-images-idx3-ubyte{suffix}", images)
        labels = np.arange(count, dtype=np.uint8) % 3
        write_idx(tmp_path / "tiny" / f"{split}-labels-idx1-ubyte{suffix}", labels)
    return tmp_path / "tiny"


def test_idx_folder_is_its_training_set(idx_folder: Path) -> None:
    source = open_source(str(idx_folder))
    assert (source.name, source.classes, len(source)) == ("tiny-train", ("0", "1", "2"), 6)
    assert [picture.label for picture in source] == [0, 1, 2, 0, 1, 2]
    first = next(iter(source))
    assert first.read().size == (7, 5)
    assert first.read().tobytes() == first.content()


def test_one_idx_file(idx_folder: Path) -> None:
    images = idx_folder / "t10k-images-idx3-ubyte"
    assert len(open_source(str(images))) == 4
    (idx_folder / "t10k-labels-idx1-ubyte").unlink()
    assert open_source(str(images)).classes == ()


def test_damaged_idx_is_refused(idx_folder: Path, refusal) -> None:
    images = idx_folder / "t10k-images-idx3-ubyte"
    whole = images.read_bytes()
    for damaged, complaint in (
        (whole[:-1], "as many bytes as it states"),
        (whole + b"\0", "as many bytes as it states"),
        (b"PNG" + whole, "0x00000803"),
        (b"", "0x00000803"),
        (whole[:4] + b"\xff" * 12, "at most"),
    ):
        images.write_bytes(damaged)
        assert complaint in refusal(images)
    write_idx(images, np.zeros((3, 5, 7), np.uint8))
    assert "3 in " in refusal(images)
    write_idx(images, np.zeros((0, 5, 7), np.uint8))
    assert "with none" in refusal(images)
    train = idx_folder / "train-images-idx3-ubyte.gz"
    train.write_bytes(train.read_bytes()[:-9])
    assert "readable" in refusal(idx_folder)
