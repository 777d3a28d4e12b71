"""What lies in the sources is known by its content, kept, and not touched by what comes later."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.data.sources import open_source
from pipeline.errors import UserError
from pipeline.orchestration import snapshots
from pipeline.orchestration.project import Project
from pipeline.orchestration.snapshots import fingerprint, list_files, snapshot_of, take
from tests.pipeline.orchestration.projects import change, make_project, put_pictures


@pytest.fixture
def project(tmp_path: Path) -> Project:
    put_pictures(tmp_path / "incoming", 0, 4)
    return make_project(tmp_path)


def test_the_same_content_is_the_same_snapshot(project: Project, tmp_path: Path) -> None:
    first = take(project)
    assert first.images == 4
    os.utime(tmp_path / "incoming" / "00000.png")
    assert take(project) == first
    assert [path.name for path in project.snapshots.glob("[0-9a-f]*")] == [first.key]
    assert snapshot_of(project, first.key) == first


def test_a_snapshot_stays_whatever_happens_in_the_sources(project: Project, tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    first = take(project)
    pictures = Path(first.source)
    before = {path.name: path.read_bytes() for path in pictures.iterdir()}
    with (incoming / "00000.png").open("r+b") as file:
        file.write(b"overwritten in place")
    (incoming / "00001.png").unlink()
    put_pictures(incoming, 4, 6)
    second = take(project)
    assert {path.name: path.read_bytes() for path in pictures.iterdir()} == before
    assert second.content_hash != first.content_hash
    assert (second.images, second.new_since(first), second.new_since(None)) == (5, 3, 5)
    # What both have takes its room once.
    assert (pictures / "00002.png").samefile(Path(second.source) / "00002.png")


def test_hidden_files_and_what_is_no_picture_do_not_count(project: Project, tmp_path: Path) -> None:
    first = take(project)
    (tmp_path / "incoming" / ".00009.png.part").touch()
    assert take(project) == first
    (tmp_path / "incoming" / "labels.csv").write_text("00000.png,a\n")
    second = take(project)
    assert second != first
    assert (second.images, second.new_since(first)) == (4, 0)


def test_a_fingerprint_changes_with_every_change(project: Project, tmp_path: Path) -> None:
    known = {fingerprint(project, list_files(project))}
    put_pictures(tmp_path / "incoming", 4, 5)
    known.add(fingerprint(project, list_files(project)))
    os.utime(tmp_path / "incoming" / "00000.png", ns=(1, 1))
    known.add(fingerprint(project, list_files(project)))
    shutil.rmtree(tmp_path / "incoming")
    (tmp_path / "incoming").mkdir()
    known.add(fingerprint(project, list_files(project)))
    assert len(known) == 4
    # Sources that are known by name alone hold no files to tell them by.
    named = [change(project, sources=[name]) for name in ("digits", "glyphs")]
    assert len({fingerprint(each, list_files(each)) for each in named}) == 2


def test_no_pictures_are_refused(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "incoming")
    (tmp_path / "incoming").mkdir()
    with pytest.raises(UserError, match="`sources` must hold pictures"):
        take(project)


def test_a_full_disk_leaves_no_part_of_a_snapshot(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        if Path(source).name == "00002.png":
            Path(target).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        copied(source, target)

    monkeypatch.setattr(snapshots.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        take(project)
    assert not list(project.snapshots.glob("*/snapshot.json"))
    assert not list(project.snapshots.rglob(".*.tmp"))
    monkeypatch.undo()
    assert take(project).images == 4


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_pictures(tmp_path / "incoming" / "private", 4, 6)
    scanned = os.scandir

    def scandir(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "private":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scanned(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError):
        list_files(project)
    monkeypatch.undo()
    assert take(project).images == 6


def test_a_file_may_have_more_names_than_a_file_system_allows(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = os.link

    def link(stored: Path, name: Path) -> None:
        if Path(stored).stat().st_nlink > 2:
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
        linked(stored, name)

    monkeypatch.setattr(os, "link", link)
    for number in range(5):
        shutil.copy(tmp_path / "incoming" / "00000.png", tmp_path / "incoming" / f"{number}-a.png")
    pictures = Path(take(project).source)
    alike = [pictures / name for name in ("00000.png", *(f"{each}-a.png" for each in range(5)))]
    assert len({path.read_bytes() for path in alike}) == 1
    assert len({path.stat().st_ino for path in alike}) == 3


def test_what_was_left_behind_and_what_is_gone_is_forgotten(
    project: Project, tmp_path: Path
) -> None:
    take(project)
    half = project.snapshots / ".0123456789ab.89abcdef.tmp"
    half.mkdir()
    (tmp_path / "incoming" / "00000.png").unlink()
    take(project)
    assert not half.exists()
    known = json.loads((project.snapshots / snapshots.KNOWN).read_text())
    assert [*known] == ["00001.png", "00002.png", "00003.png"]


def test_a_zip_that_changed_is_new(tmp_path: Path) -> None:
    put_pictures(tmp_path / "pictures", 0, 3)
    given = tmp_path / "pictures.zip"
    project = make_project(tmp_path, sources=[str(given)])

    def zipped(count: int) -> snapshots.Snapshot:
        with zipfile.ZipFile(given, "w") as archive:
            for path in sorted((tmp_path / "pictures").iterdir())[:count]:
                archive.write(path, path.name)
        return take(project)

    first, second = zipped(2), zipped(3)
    assert (first.images, first.new_since(None), first.new_since(first)) == (2, 2, 0)
    assert (second.images, second.new_since(first)) == (3, 3)


def test_a_source_of_another_kind_is_a_snapshot_too(tmp_path: Path) -> None:
    project = make_project(tmp_path, sources=["digits"])
    snapshot = take(project)
    assert (snapshot.source, snapshot.images) == ("digits", 1797)
    assert take(project) == snapshot


@pytest.mark.parametrize(
    ("given", "pictures"),
    [("set.zip/train", 2), ("./set.zip/test", 1), ("idx", 5), ("tfds:folder=tf", 1)],
)
def test_what_train_takes_is_taken_relative_to_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, pictures: int
) -> None:
    project = make_project(tmp_path, sources=[given])
    monkeypatch.chdir("/")
    put_pictures(tmp_path / "some", 0, 3)
    with zipfile.ZipFile(project.path / "set.zip", "w") as archive:
        names = ("train/0.png", "train/1.png", "test/2.png")
        for name, path in zip(names, sorted((tmp_path / "some").iterdir()), strict=True):
            archive.write(path, name)
    (project.path / "idx").mkdir()
    header = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (5, 4, 4))
    (project.path / "idx" / "train-images-idx3-ubyte").write_bytes(header + bytes(80))
    put_pictures(project.path / "tf" / "train" / "cat", 0, 1)
    put_pictures(project.path / "tf" / "test" / "dog", 1, 2)
    snapshot = take(project)
    assert (snapshot.images, len(open_source(snapshot.source))) == (pictures, pictures)
    assert str(project.snapshots / snapshot.key) in snapshot.source
    if given == "tfds:folder=tf":
        put_pictures(project.path / "tf" / "train" / "dog", 2, 3)
        later = take(project)
        assert (later.images, later.key != snapshot.key, later.new_since(snapshot)) == (2, True, 1)


def test_links_are_followed_as_train_follows_them(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    incoming = tmp_path / "incoming"
    put_pictures(incoming / "cat", 0, 2)
    put_pictures(tmp_path / "elsewhere", 2, 4)
    (incoming / "dog").symlink_to(tmp_path / "elsewhere")
    (incoming / "dog" / "again").symlink_to(incoming)
    snapshot = take(project)
    source = open_source(snapshot.source)
    assert (snapshot.images, source.classes, len(source)) == (4, ("cat", "dog"), 4)
    (incoming / "cat" / "gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(
        UserError, match=r"a link .* must lead to an existing file. Received: .*gone.png"
    ):
        take(project)
    (incoming / "cat" / "gone.png").unlink()
    (incoming / "cat" / "self.png").symlink_to("self.png")
    with pytest.raises((UserError, OSError), match=r"self\.png"):
        take(project)


def test_folders_with_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put_pictures(tmp_path / name, 0, 1)
    project = make_project(tmp_path, sources=[str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(UserError, match="must not hold files of the same name"):
        take(project)
