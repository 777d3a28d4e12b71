import gzip
import os
import stat
import struct
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import PIL
import pytest

from pipeline.data.sources import archive, open_source
from pipeline.errors import UserError


def refusal(spec: object) -> str:
    with pytest.raises(UserError) as caught:
        open_source(str(spec))
    assert "\n" not in str(caught.value)
    assert "Received: " in str(caught.value)
    return str(caught.value)


def zipped(path: Path, folder: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for member in folder.rglob("*"):
            file.write(member, f"{inside}{member.relative_to(folder).as_posix()}")
    return path


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


def test_links_that_lead_nowhere_are_named(labelled_folder: Path) -> None:
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


def test_pictures_beside_class_folders_are_refused(labelled_folder: Path, draw) -> None:
    draw().save(labelled_folder / "stray.png")
    assert "1 beside its folders, such as stray.png" in refusal(labelled_folder)


def test_splits_are_no_classes(labelled_folder: Path) -> None:
    (labelled_folder / "cat").rename(labelled_folder / "train")
    (labelled_folder / "dog").rename(labelled_folder / "test")
    assert f"name one, as in {labelled_folder}/train" in refusal(labelled_folder)
    assert len(open_source(str(labelled_folder / "train"))) == 3


def test_zip_is_the_same_as_its_folder(labelled_folder: Path, tmp_path: Path) -> None:
    folder = list(open_source(str(labelled_folder)))
    source = open_source(str(zipped(tmp_path / "Pets.ZIP", labelled_folder)))
    assert (source.name, source.classes) == ("Pets", ("cat", "dog"))
    for of_zip, of_folder in zip(source, folder, strict=True):
        assert (of_zip.name, of_zip.label) == (of_folder.name, of_folder.label)
        assert of_zip.content() == of_folder.content()
        assert of_zip.read().size == (12, 10)


def test_folder_in_a_zip(labelled_folder: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", labelled_folder, inside="set/train/")
    source = open_source(f"{path}/set/train")
    assert (source.name, source.classes, len(source)) == ("a-set-train", ("cat", "dog"), 5)
    assert "with none" in refusal(f"{path}/set/other")


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png"])
def test_zip_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(name, b"")
    assert "evil.png" in refusal(tmp_path / "evil.zip")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret.png", "pets/a.png"])
def test_links_in_a_zip_are_refused(tmp_path: Path, draw, target: str) -> None:
    draw().save(tmp_path / "a.png")
    link = zipfile.ZipInfo("pets/link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.write(tmp_path / "a.png", "pets/a.png")
        file.writestr(link, target)
    assert "symbolic links. Received: 'pets/link.png'" in refusal(tmp_path / "evil.zip")


def test_a_zip_in_a_zip_is_left_alone(labelled_folder: Path, tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", labelled_folder)
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as file:
        file.write(inner, "inner.zip")
    assert "with none" in refusal(tmp_path / "outer.zip")


def test_zip_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    assert "text.zip" in refusal(tmp_path / "text.zip")


def test_large_and_damaged_entries_raise_os_error(
    labelled_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "pets.zip", labelled_folder)
    content = path.read_bytes()
    png = (labelled_folder / "dog/b.png").read_bytes()
    path.write_bytes(content.replace(png, png[:-1] + b"?"))
    *_, damaged = open_source(str(path))
    with pytest.raises(OSError, match="CRC"):
        damaged.content()
    monkeypatch.setattr(archive, "LARGEST_ENTRY", 10)
    first, *_ = open_source(str(path))
    with pytest.raises(OSError, match="more than 10"):
        first.read()


def test_decompression_bombs_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in (10, 11, 15):
        PIL.Image.new("L", (side, side)).save(tmp_path / f"{side}.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    safe, suspicious, bomb = open_source(str(tmp_path))
    assert safe.read().size == (10, 10)
    with pytest.raises(PIL.Image.DecompressionBombError):
        bomb.read()
    with pytest.raises(PIL.Image.DecompressionBombWarning):
        suspicious.read()
    with warnings.catch_warnings():
        # Where warnings are not errors it is refused as well.
        warnings.simplefilter("ignore")
        with pytest.raises(OSError, match="11 x 11 pixels: could be a decompression bomb"):
            suspicious.read()


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


def test_damaged_idx_is_refused(idx_folder: Path) -> None:
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


def test_digits() -> None:
    source = open_source("digits")
    assert (len(source), source.classes) == (1797, tuple("0123456789"))
    values = np.stack([np.asarray(picture.read()) for picture in source])
    assert (values.shape, values.min(), values.max()) == ((1797, 8, 8), 0, 255)
    assert set(np.unique(values)) == {(255 * value + 8) // 16 for value in range(17)}


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "missing")
    assert "with none" in refusal(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    assert "another kind of file" in refusal(tmp_path / "notes.txt")


def test_import_is_light() -> None:
    code = (
        "import sys, pipeline.data.sources, pipeline.data.pictures; "
        "heavy = {'tensorflow', 'keras', 'sklearn', 'tensorflow_datasets', 'matplotlib', 'av'}; "
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize(
    ("spec", "count", "classes", "size"),
    [
        ("mnist", 60_000, 10, (28, 28)),
        ("mnist/t10k-images-idx3-ubyte.gz", 10_000, 10, (28, 28)),
        ("cifar10_jpeg_20k.zip/train", 15_000, 10, (32, 32)),
        ("eurosat64_5k.zip", 5_000, 5, (64, 64)),
        ("flowers256_500.zip", 500, 5, (256, 256)),
        ("emoji64_noto_twemoji.zip", 3_290, 2, (64, 64)),
        ("fluent3d_256_400_png.zip", 400, 0, (256, 256)),
    ],
)
def test_real_sources(
    shared_folder: Path, spec: str, count: int, classes: int, size: tuple[int, int]
) -> None:
    source = open_source(str(shared_folder / "data" / spec))
    assert (len(source), len(source.classes)) == (count, classes)
    first = next(iter(source))
    assert first.read().size == size


def test_real_zip_of_splits_is_refused(shared_folder: Path) -> None:
    path = shared_folder / "data" / "cifar10_jpeg_20k.zip"
    assert f"name one, as in {path}/train" in refusal(path)
