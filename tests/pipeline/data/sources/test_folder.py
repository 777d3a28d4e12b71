"""Pictures in folders: which count, which class each has, what is refused; `tfds.ImageFolder`."""

import os
import warnings
from pathlib import Path

import numpy as np
import PIL
import pytest

from pipeline.data.sources import open_source


def test_folder_of_class_folders(labelled_folder: Path) -> None:
    source = open_source(str(labelled_folder))
    assert (source.name, source.classes, len(source)) == ("pets", ("cat", "dog"), 5)
    assert [(picture.name, picture.label) for picture in source] == [
        ("cat/x.gif", 0),
        ("cat/y.bmp", 0),
        ("cat/z.webp", 0),
        ("dog/a.JPG", 1),
        ("dog/b.png", 1),
    ]
    last = list(source)[-1]
    assert last.read().size == (12, 10)
    assert last.content() == (labelled_folder / "dog/b.png").read_bytes()


def test_only_formats_that_are_harmless_are_decoded(tmp_path: Path, draw) -> None:
    draw().save(tmp_path / "a.png", "EPS")
    draw().save(tmp_path / "b.png", "JPEG")
    postscript, jpeg = open_source(str(tmp_path))
    with pytest.raises(PIL.UnidentifiedImageError):
        postscript.read()
    assert jpeg.read().size == (12, 10)


@pytest.mark.parametrize(
    ("extension", "kind"),
    [
        *((name, "JPEG") for name in (".jpg", ".jfif", ".jpe", ".JPEG", ".tga", ".avif")),
        *((".tga", "TGA"), (".dib", "DIB"), (".jp2", "JPEG2000"), (".j2k", "JPEG2000")),
        *((".avif", "AVIF"), (".apng", "PNG"), (".pbm", "PPM"), (".pnm", "PPM")),
    ],
)
def test_what_pillow_reads_counts(tmp_path: Path, draw, extension: str, kind: str) -> None:
    draw().save(tmp_path / f"a{extension}", kind)
    [picture] = open_source(str(tmp_path))
    assert picture.read().size == (12, 10)


def test_tga_has_no_mark_so_its_name_must_say_it(tmp_path: Path, draw) -> None:
    draw().save(tmp_path / "a.png", "TGA")
    [picture] = open_source(str(tmp_path))
    with pytest.raises(PIL.UnidentifiedImageError):
        picture.read()


def test_other_files_are_counted_by_kind(labelled_folder: Path, tmp_path: Path, zipped) -> None:
    for name in ("a.heic", "cat/b.HEIC", "notes.txt", "README", ".hidden.raw", ".x/c.raw"):
        (labelled_folder / name).parent.mkdir(exist_ok=True)
        (labelled_folder / name).touch()
    packed = zipped(labelled_folder, tmp_path / "a.zip")
    for source in map(open_source, (str(labelled_folder), str(packed))):
        assert source.left_out == {".heic": 2, ".txt": 2, "README": 1}


def test_names_that_are_no_text_are_told_escaped(tmp_path: Path, draw) -> None:
    for folder in ("caf\udce9", "do\x1b]0;g\a", "\u200bthird\n"):
        (tmp_path / folder).mkdir()
        draw().save(tmp_path / folder / "x\udcff[y].png")
    source = open_source(str(tmp_path))
    assert source.classes == (r"\u200bthird\n", r"caf\xe9", r"do\x1b]0;g\x07")
    names = [picture.name for picture in source]
    assert r"caf\xe9/x\xff[y].png" in names
    assert all(picture.read().size == (12, 10) for picture in source)
    "".join((*names, *source.classes, source.name)).encode()


def test_lone_folder_is_no_class(labelled_folder: Path) -> None:
    source = open_source(str(labelled_folder / "cat"))
    assert source.classes == ()
    assert {picture.label for picture in source} == {None}
    zipped_once_more = labelled_folder.parent / "outer"
    zipped_once_more.mkdir()
    labelled_folder.rename(zipped_once_more / "pets")
    assert open_source(str(zipped_once_more)).classes == ("cat", "dog")


def test_class_is_the_topmost_folder_however_deep(tmp_path: Path, draw) -> None:
    for name in ("cat/2020/may/a.png", "cat/b.png", "dog/2021/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        draw().save(tmp_path / name)
    source = open_source(str(tmp_path))
    assert [source.classes[picture.label] for picture in source] == ["cat", "cat", "dog"]


def test_links_are_followed_but_not_in_circles(labelled_folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "cats").symlink_to(labelled_folder / "cat")
    (labelled_folder / "cat" / "again").symlink_to(linked)
    assert len(open_source(str(linked))) == 3


def test_links_to_the_same_folder_all_count(labelled_folder: Path, tmp_path: Path) -> None:
    (labelled_folder / "puma").symlink_to(labelled_folder / "cat")
    (labelled_folder / "cat" / "root").symlink_to(labelled_folder)
    source = open_source(str(labelled_folder))
    assert source.classes == ("cat", "dog", "puma")
    assert len(source) == 8


def test_links_that_lead_nowhere_are_named(labelled_folder: Path, refusal) -> None:
    (labelled_folder / "cat" / "a.png").symlink_to(labelled_folder / "gone.png")
    first = next(iter(open_source(str(labelled_folder))))
    assert first.name == "cat/a.png"
    with pytest.raises(OSError, match="No such file"):
        first.content()
    os.mkfifo(labelled_folder / "cat" / "pipe.png")
    (labelled_folder / "cat" / "link.png").symlink_to(labelled_folder / "cat" / "pipe.png")
    assert len(open_source(str(labelled_folder))) == 6
    (labelled_folder / "cat" / "self").symlink_to(labelled_folder / "cat" / "self")
    assert "self (Too many levels of symbolic links)" in refusal(labelled_folder)


def test_classes_that_are_numbers_are_in_their_order(tmp_path: Path, draw) -> None:
    for name in ("9", "10", "1"):
        (tmp_path / name).mkdir()
        draw().save(tmp_path / name / "a.png")
    assert open_source(str(tmp_path)).classes == ("1", "9", "10")


def test_pictures_beside_class_folders_are_refused(labelled_folder: Path, draw, refusal) -> None:
    draw().save(labelled_folder / "stray.png")
    assert "1 outside class folders, such as stray.png" in refusal(labelled_folder)


@pytest.mark.parametrize("other", ["test", "val"])  # Before and after `train` in the alphabet.
def test_splits_are_no_classes(labelled_folder: Path, refusal, other: str) -> None:
    (labelled_folder / "cat").rename(labelled_folder / "train")
    (labelled_folder / "dog").rename(labelled_folder / other)
    assert f"pass one split, as in {labelled_folder}/train." in refusal(labelled_folder)
    assert len(open_source(str(labelled_folder / "train"))) == 3


def test_decompression_bombs_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in (10, 11, 15):
        PIL.Image.new("L", (side, side)).save(tmp_path / f"{side}.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    safe, large, bomb = open_source(str(tmp_path))
    assert safe.read().size == (10, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # As this program does.
        assert large.read().size == (11, 11)
    with pytest.raises(OSError, match="it has more than 200 pixels: store it smaller"):
        bomb.read()


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
