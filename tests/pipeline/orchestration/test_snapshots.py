"""What lies in the sources is known by its content, kept, and not touched by what comes later."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.orchestration import snapshots
from pipeline.orchestration.project import Project
from pipeline.orchestration.snapshots import fingerprint, found_in, snapshot_of, take
from tests.pipeline.orchestration.projects import make_project, put_pictures


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
    known = {fingerprint(found_in(project))}
    put_pictures(tmp_path / "incoming", 4, 5)
    known.add(fingerprint(found_in(project)))
    os.utime(tmp_path / "incoming" / "00000.png", ns=(1, 1))
    known.add(fingerprint(found_in(project)))
    shutil.rmtree(tmp_path / "incoming")
    (tmp_path / "incoming").mkdir()
    known.add(fingerprint(found_in(project)))
    assert len(known) == 4


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


def test_a_source_of_another_kind_is_a_snapshot_too(tmp_path: Path) -> None:
    project = make_project(tmp_path, sources=["digits"])
    snapshot = take(project)
    assert (snapshot.source, snapshot.images) == ("digits", 1797)
    assert take(project) == snapshot


def test_folders_with_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put_pictures(tmp_path / name, 0, 1)
    project = make_project(tmp_path, sources=[str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(UserError, match="must not hold files of the same name"):
        take(project)
