"""The TFRecords of the official tools: their largest level, labels, and damage."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.sources import open_source


@pytest.fixture
def official(tmp_path: Path, write_records, example) -> Path:
    """Make six pictures at 4 and 8 px, of three classes, as the official tool does."""
    folder = tmp_path / "faces"
    folder.mkdir()
    random = np.random.default_rng(0)
    for level, side in ((2, 4), (3, 8)):
        images = random.integers(0, 256, (6, 3, side, side), np.uint8)
        np.save(folder / f"{side}.npy", images)
        write_records(
            folder / f"faces-r{level:02}.tfrecords",
            [example(shape=[3, side, side], data=image.tobytes()) for image in images],
        )
    one_hot = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    one_hot[5] = 0
    with (folder / "faces-rxx.labels").open("wb") as file:
        np.save(file, one_hot)
    return folder


def test_official_tfrecords_are_their_largest_level(official: Path) -> None:
    source = open_source(str(official))
    assert (source.name, source.classes, len(source)) == ("faces", ("0", "1", "2"), 6)
    assert [picture.label for picture in source] == [0, 1, 2, 0, 1, None]
    for picture, image in zip(source, np.load(official / "8.npy"), strict=True):
        assert picture.content() == image.tobytes()
        assert (np.asarray(picture.read()) == image.transpose(1, 2, 0)).all()


def test_one_level_of_official_tfrecords(official: Path) -> None:
    source = open_source(str(official / "faces-r02.tfrecords"))
    assert [picture.label for picture in source] == [0, 1, 2, 0, 1, None]
    for picture, image in zip(source, np.load(official / "4.npy"), strict=True):
        assert (np.asarray(picture.read()) == image.transpose(1, 2, 0)).all()


def test_official_tfrecords_without_labels_or_of_grey(
    official: Path, write_records, example
) -> None:
    with (official / "faces-rxx.labels").open("wb") as file:
        np.save(file, np.zeros((6, 3), np.float32))
    assert open_source(str(official)).classes == ()
    with (official / "faces-rxx.labels").open("wb") as file:
        np.save(file, np.zeros((6, 0), np.float32))
    assert open_source(str(official)).classes == ()
    (official / "faces-rxx.labels").unlink()
    grey = bytes(range(256))
    write_records(official / "faces-r04.tfrecords", [example(shape=[1, 16, 16], data=grey)])
    [picture] = open_source(str(official))
    assert (picture.label, picture.read().mode) == (None, "L")
    assert picture.read().tobytes() == grey


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (np.eye(3)[[0, 1]], "(2, 3) for 6 pictures"),
        (np.arange(6), "(6,) for 6 pictures"),
        (np.ones((6, 3)), "(other values)"),
        (np.full((6, 3), 0.5), "(other values)"),
        (np.array([["a"]] * 6), "could not convert"),
    ],
)
def test_official_labels_must_be_one_hot(
    official: Path, labels: np.ndarray, complaint, refusal
) -> None:
    with (official / "faces-rxx.labels").open("wb") as file:
        np.save(file, labels)
    assert complaint in refusal(official)


def test_official_labels_are_not_unpickled(official: Path, refusal) -> None:
    with (official / "faces-rxx.labels").open("wb") as file:
        np.save(file, np.array([{}] * 6, dtype=object))
    assert "faces-rxx.labels (Object arrays cannot be loaded" in refusal(official)
    (official / "faces-rxx.labels").write_bytes(b"")
    assert "No data left" in refusal(official)


@pytest.mark.parametrize(
    "record",
    [
        b"no example",
        {"shape": [3, 8, 8]},
        {"data": b"1" * 192},
        {"shape": [3, 8, 8], "data": b"1" * 191},
        {"shape": [2, 8, 8], "data": b"1" * 128},
        {"shape": [3, -8, -8], "data": b"1" * 192},
        {"shape": [192], "data": b"1" * 192},
        {"shape": b"388", "data": b"1" * 192},
    ],
)
def test_wrong_official_records_are_named(
    official: Path, record: bytes | dict, write_records, example
) -> None:
    good = example(shape=[3, 8, 8], data=b"1" * 192)
    wrong = record if isinstance(record, bytes) else example(**record)
    write_records(official / "faces-r03.tfrecords", [good, wrong, *[good] * 4])
    first, second, *_ = open_source(str(official))
    assert first.content() == b"1" * 192
    for attempt in (second.content, second.read):
        with pytest.raises(OSError, match=r"record 1 of faces-r03\.tfrecords"):
            attempt()


def test_damaged_official_tfrecords_are_refused(official: Path, refusal) -> None:
    level = official / "faces-r03.tfrecords"
    whole = level.read_bytes()
    level.write_bytes(whole[:-1])
    assert f"{level}, cut off in record 5" in refusal(official)
    level.write_bytes(b"")
    assert "with none" in refusal(official)
    level.write_bytes(whole.replace(np.load(official / "8.npy")[4].tobytes(), b"?" * 192))
    *_, fifth, sixth = open_source(str(official))
    sixth.content()
    with pytest.raises(OSError, match=r"record 4 of .* wrong checksum"):
        fifth.read()
    shutil.copy(level, official / "other-r05.tfrecords")
    assert "with faces, other" in refusal(official)


def test_real_official_tfrecords(shared_folder: Path) -> None:
    folder = shared_folder / "golden" / "tfrecords_eurosat32"
    source = open_source(str(folder))
    assert (source.name, len(source)) == ("tfrecords_eurosat32", 200)
    one_hot = np.load(folder / "tfrecords_eurosat32-rxx.labels")
    assert source.classes == tuple(str(index) for index in range(one_hot.shape[1]))
    assert [picture.label for picture in source] == one_hot.argmax(axis=1).tolist()
    spec = {
        "shape": tf.io.FixedLenFeature([3], tf.int64),
        "data": tf.io.FixedLenFeature([], tf.string),
    }
    for level in range(2, 6):
        file = folder / f"tfrecords_eurosat32-r{level:02}.tfrecords"
        parsed = tf.data.TFRecordDataset(str(file)).map(
            lambda record: tf.io.parse_single_example(record, spec)
        )
        expected = [
            np.frombuffer(record["data"], np.uint8).reshape(record["shape"]).transpose(1, 2, 0)
            for record in parsed.as_numpy_iterator()
        ]
        pictures = source if level == 5 else open_source(str(file))
        found = [np.asarray(picture.read()) for picture in pictures]
        assert np.array_equal(found, expected)
        assert found[0].shape == (2**level, 2**level, 3)
