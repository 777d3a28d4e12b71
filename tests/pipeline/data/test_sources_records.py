import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.sources import open_source
from pipeline.data.sources.example import bytes_in, features_of, integers_in
from pipeline.data.sources.tfrecord_index import index_records, masked_crc
from pipeline.errors import UserError

ROOT = Path(__file__).parents[3]


def refusal(spec: object) -> str:
    with pytest.raises(UserError) as caught:
        open_source(str(spec))
    assert "\n" not in str(caught.value)
    assert "Received: " in str(caught.value)
    return str(caught.value)


def write_records(path: Path, records: list[bytes]) -> Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def example(**values: bytes | list[int]) -> bytes:
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, bytes)
        else tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        for name, value in values.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


# Framing ----------------------------------------------------------------------------------------

RECORDS = [b"", b"one", bytes(range(256)) * 100, b"last"]


def test_records_are_what_tensorflow_wrote(tmp_path: Path) -> None:
    found = index_records(write_records(tmp_path / "a.tfrecords", RECORDS))
    assert [found.read(number) for number in range(len(found))] == RECORDS
    assert [bytes(record) for record in found.mapped()] == RECORDS
    empty = index_records(write_records(tmp_path / "b.tfrecords", []))
    assert (len(empty), list(empty.mapped())) == (0, [])


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfrecords", [b"first", b"second"])
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        number, inside = divmod(position, 16 + len("first"))
        if number == 2:
            number, inside = 1, inside + 16 + len("first")
        if inside < 12:
            with pytest.raises(UserError, match=f"with a wrong one at record {number}"):
                index_records(path)
            continue
        records = index_records(path)
        with pytest.raises(OSError, match=rf"record {number} of a\.tfrecords has a wrong checksum"):
            records.read(number)
        assert records.read(1 - number) == (b"second", b"first")[number]


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfrecords", [b"first", b"second"])
    whole = path.read_bytes()
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        if size == 16 + len("first"):
            assert len(index_records(path)) == 1
            continue
        with pytest.raises(UserError, match=f"cut off in record {int(size > 21)}"):
            index_records(path)


def test_a_file_that_shrinks_or_vanishes_meanwhile_is_an_error(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfrecords", [b"first", b"second"])
    records = index_records(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(OSError, match="wrong checksum"):
        records.read(1)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        records.read(0)
    with pytest.raises(UserError, match="No such file"):
        index_records(path)


def test_a_length_is_not_believed_without_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecords"
    length = struct.pack("<Q", 2**62)
    path.write_bytes(length + struct.pack("<I", masked_crc(length)) + b"text")
    with pytest.raises(UserError, match="cut off in record 0"):
        index_records(path)
    path.write_bytes(length + b"\0\0\0\0" + b"text")
    with pytest.raises(UserError, match="not be compressed"):
        index_records(path)


# Examples ---------------------------------------------------------------------------------------

integers = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)
texts = st.lists(st.binary(max_size=300), max_size=3)


@given(st.dictionaries(st.text(max_size=9), integers), st.dictionaries(st.text(max_size=9), texts))
def test_features_are_what_tensorflow_wrote(
    of_integers: dict[str, list[int]], of_bytes: dict[str, list[bytes]]
) -> None:
    message = tf.train.Example()
    message.features.feature["a float"].float_list.value.extend([1.5, -2.0])
    message.features.feature["nothing"].Clear()
    for name, values in of_integers.items():
        message.features.feature[f"i{name}"].int64_list.value.extend(values)
    for name, values in of_bytes.items():
        message.features.feature[f"b{name}"].bytes_list.value.extend(values)
    found = features_of(message.SerializeToString())
    assert set(found) == set(message.features.feature)
    for name, values in of_integers.items():
        assert integers_in(found[f"i{name}"]) == values
        assert bytes_in(found[f"i{name}"]) == []
    for name, values in of_bytes.items():
        assert bytes_in(found[f"b{name}"]) == values
        assert integers_in(found[f"b{name}"]) == []
    assert bytes_in(found["a float"]) == integers_in(found["a float"]) == []
    assert bytes_in(found["nothing"]) == []


@given(st.binary(max_size=60))
def test_any_bytes_are_an_example_or_a_value_error(content: bytes) -> None:
    try:
        features = features_of(content)
        for feature in features.values():
            bytes_in(feature)
            integers_in(feature)
    except ValueError:
        pass


def test_integers_may_be_unpacked() -> None:
    # As writers of proto2 do: each value with a tag of its own.
    assert integers_in(memoryview(b"\x1a\x04\x08\x05\x08\x07")) == [5, 7]


# Official TFRecords -----------------------------------------------------------------------------


@pytest.fixture
def official(tmp_path: Path) -> Path:
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


def test_official_tfrecords_without_labels_or_of_grey(official: Path) -> None:
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
def test_official_labels_must_be_one_hot(official: Path, labels: np.ndarray, complaint) -> None:
    with (official / "faces-rxx.labels").open("wb") as file:
        np.save(file, labels)
    assert complaint in refusal(official)


def test_official_labels_are_not_unpickled(official: Path) -> None:
    with (official / "faces-rxx.labels").open("wb") as file:
        np.save(file, np.array([{}] * 6, dtype=object))
    assert "faces-rxx.labels (Object arrays cannot be loaded" in refusal(official)
    (official / "faces-rxx.labels").write_bytes(b"")
    assert "No data left" in refusal(official)


@pytest.mark.parametrize(
    "record",
    [
        b"no example",
        example(shape=[3, 8, 8]),
        example(data=b"1" * 192),
        example(shape=[3, 8, 8], data=b"1" * 191),
        example(shape=[2, 8, 8], data=b"1" * 128),
        example(shape=[3, -8, -8], data=b"1" * 192),
        example(shape=[192], data=b"1" * 192),
        example(shape=b"388", data=b"1" * 192),
    ],
)
def test_wrong_official_records_are_named(official: Path, record: bytes) -> None:
    good = example(shape=[3, 8, 8], data=b"1" * 192)
    write_records(official / "faces-r03.tfrecords", [good, record, *[good] * 4])
    first, second, *_ = open_source(str(official))
    assert first.content() == b"1" * 192
    for attempt in (second.content, second.read):
        with pytest.raises(OSError, match=r"record 1 of faces-r03\.tfrecords"):
            attempt()


def test_damaged_official_tfrecords_are_refused(official: Path) -> None:
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


# TensorFlow Datasets ----------------------------------------------------------------------------


PHOTOS = [np.random.default_rng(n).integers(0, 256, (5 + n, 6, 3), np.uint8) for n in range(9)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare sets offline, each picture of which is found in `PHOTOS` by its size."""
    import tensorflow_datasets as tfds

    class Prepared(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        __module__ = "prepared"  # no file of which TensorFlow Datasets looks for the source
        VERSION = tfds.core.Version("1.0.0")

        def _split_generators(self, _: object) -> dict:
            return {"train": self._generate_examples(0, 7), "test": self._generate_examples(7, 9)}

        def _generate_examples(self, first: int, last: int):
            for number in range(first, last):
                yield number, self._example(number)

    class Pets(Prepared, skip_registration=True):
        __module__ = "prepared"
        BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name="large")]

        def _info(self) -> tfds.core.DatasetInfo:
            features = {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=["dog", "cat"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _example(self, number: int) -> dict:
            label = number % 2 if number < 7 else -1
            return {"id": str(number), "image": PHOTOS[number], "label": label}

    class Walls(Prepared, skip_registration=True):
        __module__ = "prepared"

        def _info(self) -> tfds.core.DatasetInfo:
            views = {
                "photo": tfds.features.Image(shape=(None, None, 1), dtype=np.uint16),
                "map": tfds.features.LabeledImage(labels=3, shape=(None, None, 1)),
            }
            features = {"views": views, "left": tfds.features.ClassLabel(num_classes=2)}
            features["right"] = tfds.features.ClassLabel(num_classes=2)
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _example(self, number: int) -> dict:
            photo = PHOTOS[number][..., :1].astype(np.uint16) * 257
            views = {"photo": photo, "map": PHOTOS[number][..., :1] % 3}
            return {"views": views, "left": 0, "right": 1}

    class Twins(Prepared, skip_registration=True):
        __module__ = "prepared"

        def _info(self) -> tfds.core.DatasetInfo:
            image = tfds.features.Image()
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict({"one": image, "two": image})
            )

        def _example(self, number: int) -> dict:
            return {"one": PHOTOS[number], "two": PHOTOS[number]}

    class Depths(Prepared, skip_registration=True):
        __module__ = "prepared"

        def _info(self) -> tfds.core.DatasetInfo:
            depth = tfds.features.Image(shape=(None, None, 1), dtype=np.float32)
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict({"depth": depth})
            )

        def _example(self, number: int) -> dict:
            return {"depth": PHOTOS[number][..., :1].astype(np.float32)}

    folder = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    two_shards = tfds.download.DownloadConfig(num_shards=2)
    for name, kind in (("tfrecord", "tfrecord"), ("array", "array_record")):
        for builder in (Pets, Walls, Twins, Depths):
            made = builder(data_dir=folder / name, file_format=kind)
            made.download_and_prepare(download_config=two_shards)
    return folder


@pytest.fixture(params=["tfrecord", "array"])
def stored_as(request, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared / request.param))
    return request.param


def in_order(prepared: Path, kind: str, name: str, split: str) -> list[dict]:
    """What TensorFlow Datasets gives, in the order of the files."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(prepared / kind / name)
    if kind == "array":
        return list(builder.as_data_source(split))
    config = tfds.ReadConfig(interleave_cycle_length=1)
    stream = builder.as_dataset(split=split, read_config=config, shuffle_files=False)
    return list(stream.as_numpy_iterator())


@pytest.mark.parametrize(
    ("spec", "split"),
    [
        ("pets", "train"),
        ("pets:train", "train"),
        ("pets/large:test", "test"),
        ("pets/large:1.0.0", "train"),
        ("pets:1.*.*:train[:4]", "train[:4]"),
        ("pets:train[2:]+test", "train[2:]+test"),
        ("pets:all", "all"),
    ],
)
def test_tfds(stored_as: str, prepared: Path, spec: str, split: str) -> None:
    source = open_source(f"tfds:{spec}")
    expected = in_order(prepared, stored_as, "pets/large/1.0.0", split)
    assert source.classes == ("dog", "cat")
    assert source.name.endswith(f"-{split}")
    assert len(source) == len(expected) > 1
    for picture, element in zip(source, expected, strict=True):
        assert picture.label == (None if element["label"] < 0 else element["label"])
        assert (np.asarray(picture.read()) == element["image"]).all()
        assert (np.asarray(picture.read()) == PHOTOS[int(element["id"])]).all()
        assert picture.content().startswith(b"\x89PNG")


@pytest.mark.usefixtures("stored_as")
def test_tfds_of_nested_features_and_without_one_label() -> None:
    source = open_source("tfds:walls")
    assert (source.classes, len(source)) == ((), 7)
    for picture in source:
        found = np.asarray(picture.read())
        assert (found == PHOTOS[len(found) - 5][..., 0].astype(np.uint16) * 257).all()


@pytest.mark.usefixtures("stored_as")
def test_tfds_that_cannot_be_read_is_refused() -> None:
    assert "`tfds build mnist` does it. Received: 'mnist', not found in" in refusal("tfds:mnist")
    assert "`tfds build pets:2.0.0` does it" in refusal("tfds:pets:2.0.0")
    assert "made of test, train. Received: 'validation'" in refusal("tfds:pets:validation")
    assert "made of test, train. Received: 'train[oops]'" in refusal("tfds:pets:train[oops]")
    assert "8-bit or 16-bit images. Received: twins, with one, two" in refusal("tfds:twins")
    assert "8-bit or 16-bit images. Received: depths, with depth" in refusal("tfds:depths")
    assert "with none" in refusal("tfds:pets:train[:0]")
    assert "not found in" in refusal("tfds:")
    assert "not found in" in refusal("tfds:../pets")


def test_damaged_tfds_is_refused(prepared: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    shutil.copytree(prepared / "tfrecord" / "pets", tmp_path / "pets")
    folder = tmp_path / "pets" / "large" / "1.0.0"
    shard, _ = sorted(folder.glob("*train*"))
    whole = shard.read_bytes()
    first, *_ = open_source("tfds:pets")
    shard.write_bytes(whole.replace(first.content()[-20:], b"?" * 20))
    with pytest.raises(OSError, match=r"record 0 of .*train.* has a wrong checksum"):
        first.read()
    shard.write_bytes(whole[:-1])
    assert "cut off in record" in refusal("tfds:pets")
    shard.write_bytes(whole)
    count = len(index_records(shard))
    write_records(shard, [b""] * (count + 1))
    assert f"must hold the {count} examples that the set states" in refusal("tfds:pets")
    for record, complaint in (
        (b"?", "no tf.train.Example"),
        (example(image=b""), "0 labels in an example"),
        (example(label=[2]), "2)"),
    ):
        write_records(shard, [record] * count)
        assert "'label' must be one of 2 labels in each example. Received: pets" in refusal(
            "tfds:pets"
        )
        assert complaint in refusal("tfds:pets")
    write_records(shard, [example(label=[0])] * count)
    first, *_ = open_source("tfds:pets")
    with pytest.raises(OSError, match="example 0 has no picture 'image'"):
        first.read()
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace("tfrecord", "riegeli"))
    assert "stored as riegeli" in refusal("tfds:pets")


def test_tfds_needs_no_tensorflow(prepared: Path) -> None:
    code = (
        "import sys; from pipeline.data.sources import open_source; "
        "sizes = [p.read().size for p in open_source('tfds:pets')]; "
        "sys.exit(len(sizes) != 7 or 'tensorflow' in sys.modules)"
    )
    for kind in ("tfrecord", "array"):
        environment = {**os.environ, "TFDS_DATA_DIR": str(prepared / kind)}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)
        assert done.returncode == 0


@pytest.fixture
def image_folder(tmp_path: Path, draw) -> Path:
    for seed, name in enumerate(
        ["train/cat/a.png", "train/cat/b.jpg", "train/dog/a.png", "test/emu/a.png"]
    ):
        file = tmp_path / "zoo" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        draw(seed=seed).save(file)
    return tmp_path / "zoo"


@pytest.mark.parametrize("split", ["train", "test"])
def test_image_folder_is_that_of_tfds(image_folder: Path, split: str) -> None:
    import tensorflow_datasets as tfds

    builder = tfds.ImageFolder(str(image_folder))
    source = open_source(f"tfds:folder={image_folder}:{split}")
    assert source.classes == tuple(builder.info.features["label"].names) == ("cat", "dog", "emu")
    assert source.name == f"zoo-{split}"
    elements = builder.as_dataset(split=split, shuffle_files=False).as_numpy_iterator()
    expected = sorted(elements, key=lambda element: element["image/filename"])
    for picture, element in zip(source, expected, strict=True):
        assert element["image/filename"].decode() == str(image_folder / split / picture.name)
        assert picture.label == element["label"]
        difference = np.asarray(picture.read()).astype(int) - element["image"]
        assert abs(difference).max() <= (4 if picture.name.endswith("jpg") else 0)


def test_image_folder_without_the_split_is_refused(image_folder: Path, tmp_path: Path) -> None:
    assert len(open_source(f"tfds:folder={image_folder}")) == 3
    assert "with test, train" in refusal(f"tfds:folder={image_folder}:val")
    assert "with none" in refusal(f"tfds:folder={tmp_path / 'gone'}")
    (image_folder / "empty" / "cat").mkdir(parents=True)
    assert "must hold pictures" in refusal(f"tfds:folder={image_folder}:empty")
