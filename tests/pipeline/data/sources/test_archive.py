"""Pictures in a zip, which is no more trusted than its sender."""

import stat
import zipfile
from pathlib import Path

import pytest

from pipeline.data.sources import archive, open_source


def test_zip_is_the_same_as_its_folder(labelled_folder: Path, tmp_path: Path, zipped) -> None:
    folder = list(open_source(str(labelled_folder)))
    source = open_source(str(zipped(labelled_folder, tmp_path / "Pets.ZIP")))
    assert (source.name, source.classes) == ("Pets", ("cat", "dog"))
    for of_zip, of_folder in zip(source, folder, strict=True):
        assert (of_zip.name, of_zip.label) == (of_folder.name, of_folder.label)
        assert of_zip.content() == of_folder.content()
        assert of_zip.read().size == (12, 10)


def test_folder_in_a_zip(labelled_folder: Path, tmp_path: Path, refusal, zipped) -> None:
    path = zipped(labelled_folder, tmp_path / "a.zip", inside="set/train/")
    source = open_source(f"{path}/set/train")
    assert (source.name, source.classes, len(source)) == ("a-set-train", ("cat", "dog"), 5)
    assert "with none" in refusal(f"{path}/set/other")


@pytest.mark.parametrize("before", ["./", "set//", ".//./", "a/./"])
def test_names_are_read_as_paths(tmp_path: Path, draw, before: str) -> None:
    draw().save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("./", b"")
        for name in ("x/0.png", "x//1.png", "y/2.png"):
            file.writestr(f"{before}{name}", (tmp_path / "a.png").read_bytes())
    source = open_source(str(tmp_path / "a.zip"))
    assert source.classes == ("x", "y")
    assert [source.classes[picture.label] for picture in source] == ["x", "x", "y"]
    assert all(picture.read().size == (12, 10) for picture in source)


def test_a_zip_of_a_newer_version_is_one_line(labelled_folder: Path, refusal, zipped) -> None:
    path = zipped(labelled_folder, labelled_folder.parent / "a.zip")
    content, at = bytearray(path.read_bytes()), 0
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        content[at + 6] = 90
        at += 4
    path.write_bytes(content)
    assert "a zip must be readable. Received" in refusal(path)


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png"])
def test_zip_that_points_outside_is_refused(tmp_path: Path, name: str, refusal) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(name, b"")
    assert "evil.png" in refusal(tmp_path / "evil.zip")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret.png", "pets/a.png"])
def test_links_in_a_zip_are_refused(tmp_path: Path, draw, target: str, refusal) -> None:
    draw().save(tmp_path / "a.png")
    link = zipfile.ZipInfo("pets/link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.write(tmp_path / "a.png", "pets/a.png")
        file.writestr(link, target)
    assert "symbolic links. Received: 'pets/link.png'" in refusal(tmp_path / "evil.zip")


def test_a_zip_in_a_zip_is_left_alone(
    labelled_folder: Path, tmp_path: Path, refusal, zipped
) -> None:
    inner = zipped(labelled_folder, tmp_path / "inner.zip")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as file:
        file.write(inner, "inner.zip")
    assert "with none" in refusal(tmp_path / "outer.zip")


def test_zip_that_is_none_is_refused(tmp_path: Path, refusal) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    assert "text.zip" in refusal(tmp_path / "text.zip")


def test_large_and_damaged_entries_raise_os_error(
    labelled_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped
) -> None:
    path = zipped(labelled_folder, tmp_path / "pets.zip")
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


def test_real_zip_of_splits_is_refused(shared_folder: Path, refusal) -> None:
    path = shared_folder / "data" / "cifar10_jpeg_20k.zip"
    assert f"pass one split, as in {path}/train." in refusal(path)
