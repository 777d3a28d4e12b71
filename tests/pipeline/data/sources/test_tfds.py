"""What TensorFlow Datasets prepared, against what it reads itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from pipeline.data.sources import open_source
from pipeline.data.sources.tfrecord_index import index_records

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
def test_tfds_that_cannot_be_read_is_refused(refusal) -> None:
    assert "`tfds build mnist` prepares it. Received: 'mnist', not found in" in refusal(
        "tfds:mnist"
    )
    assert "`tfds build pets:2.0.0` prepares it" in refusal("tfds:pets:2.0.0")
    assert "made of test, train. Received: 'validation'" in refusal("tfds:pets:validation")
    assert "made of test, train. Received: 'train[oops]'" in refusal("tfds:pets:train[oops]")
    assert "8-bit or 16-bit images. Received: twins, with one, two" in refusal("tfds:twins")
    assert "8-bit or 16-bit images. Received: depths, with depth" in refusal("tfds:depths")
    assert "with none" in refusal("tfds:pets:train[:0]")
    assert "not found in" in refusal("tfds:")
    assert "not found in" in refusal("tfds:../pets")


def test_damaged_tfds_is_refused(
    prepared: Path, tmp_path: Path, monkeypatch, refusal, write_records, example
) -> None:
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


@pytest.mark.new_interpreter
def test_tfds_needs_no_tensorflow(prepared: Path, pytestconfig: pytest.Config) -> None:
    code = (
        "import sys; from pipeline.data.sources import open_source; "
        "sizes = [p.read().size for p in open_source('tfds:pets')]; "
        "sys.exit(len(sizes) != 7 or 'tensorflow' in sys.modules)"
    )
    command, root = [sys.executable, "-c", code], pytestconfig.rootpath
    for kind in ("tfrecord", "array"):
        environment = {**os.environ, "TFDS_DATA_DIR": str(prepared / kind)}
        done = subprocess.run(command, cwd=root, env=environment, check=False)
        assert done.returncode == 0
