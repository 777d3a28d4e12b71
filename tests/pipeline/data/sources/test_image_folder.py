"""Folders of splits, against `tfds.ImageFolder`."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.sources import open_source


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


def test_image_folder_without_the_split_is_refused(
    image_folder: Path, tmp_path: Path, refusal
) -> None:
    assert len(open_source(f"tfds:folder={image_folder}")) == 3
    assert "with test, train" in refusal(f"tfds:folder={image_folder}:val")
    assert "with none" in refusal(f"tfds:folder={tmp_path / 'gone'}")
    (image_folder / "empty" / "cat").mkdir(parents=True)
    assert "must hold pictures" in refusal(f"tfds:folder={image_folder}:empty")
