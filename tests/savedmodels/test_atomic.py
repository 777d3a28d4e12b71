"""Files and folders that appear, and vanish, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from savedmodels import atomic


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic.write_file(path, "one")
    atomic.write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_what_stood_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    atomic.write_file(path, "one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic.write_file(path, "two")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_only_when_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "1"
    with atomic.new_folder(path) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "file").write_text("x")
        assert not path.exists()
        assert not temporary.name.isdecimal()
    assert (path / "inner" / "file").read_text() == "x"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_vanishes_when_its_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "1"

    def interrupted() -> None:
        with atomic.new_folder(path) as temporary:
            (temporary / "file").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "1"
    path.mkdir()
    with pytest.raises(FileExistsError, match="exists already"), atomic.new_folder(path):
        pytest.fail("the block must not run")


def test_all_of_a_new_folder_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    path = tmp_path / "very" / "deep" / "1"

    def note(file: Path) -> None:
        assert file == path.parent or not path.exists()
        synced.append(file)

    monkeypatch.setattr(atomic, "sync", note)
    with atomic.new_folder(path) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "file").write_text("x")
    within = {temporary, temporary / "inner", temporary / "inner" / "file"}
    # The folders in which new names appeared count as well.
    assert set(synced) == within | {tmp_path, tmp_path / "very", path.parent}
    assert synced[-1] == path.parent


def test_the_names_of_new_folders_are_on_the_disk_when_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(atomic, "sync", synced.append)
    atomic.make_folder(tmp_path / "very" / "deep")
    assert (tmp_path / "very" / "deep").is_dir()
    assert set(synced) == {tmp_path, tmp_path / "very"}
    atomic.make_folder(tmp_path / "very" / "deep")
    assert len(synced) == 2


def test_a_removed_folder_never_stands_there_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "1"
    path.mkdir()
    (path / "file").write_text("x")

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            atomic.remove_folder(path)
    [remains] = tmp_path.iterdir()
    assert remains.name.startswith(".1.")
    atomic.remove_remains(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_remains_are_removed(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in (".lock", "x.tmp", ".mine.tmp", ".a.12345678.tmp.txt")]
    for path in kept:
        path.write_text("x")
    deep = tmp_path / "deep"
    (deep / ".a.0123abcd.tmp" / "inner").mkdir(parents=True)
    (deep / ".b.png.0123abcd.tmp").write_text("x")
    atomic.remove_remains(tmp_path)
    assert sorted(tmp_path.rglob("*")) == sorted([*kept, deep])


def test_what_a_living_process_writes_is_no_remains(tmp_path: Path) -> None:
    path = tmp_path / "1"
    with atomic.new_folder(path) as temporary:
        (temporary / "file").write_text("x")
        atomic.remove_remains(tmp_path)
    assert (path / "file").read_text() == "x"


def test_a_file_that_is_being_written_is_no_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(atomic, "sync", lambda _: atomic.remove_remains(tmp_path))
        atomic.write_file(tmp_path / "file", "one")
    assert (tmp_path / "file").read_text() == "one"


def test_what_was_taken_for_remains_before_it_had_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, taken = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            shutil.rmtree(taken[0])
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with atomic.new_folder(tmp_path / "1") as temporary:
        (temporary / "file").write_text("x")
    assert [path.name for path in taken] != ["1"]
    assert (tmp_path / "1" / "file").read_text() == "x"


def test_a_folder_that_appears_in_the_last_moment_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "1", os.rename

    def other_first(old: Path, new: Path) -> None:
        new.mkdir()
        (new / "file").write_text("theirs")
        rename(old, new)

    monkeypatch.setattr(os, "rename", other_first)
    with pytest.raises(FileExistsError, match="exists already"), atomic.new_folder(path):
        (path.parent / "x").touch()
    assert (path / "file").read_text() == "theirs"
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "x"]


def test_where_no_locks_are_known_all_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    (tmp_path / ".a.0123abcd.tmp").mkdir()
    atomic.remove_remains(tmp_path)
    with atomic.new_folder(tmp_path / "1") as temporary:
        (temporary / "file").write_text("x")
    assert list(tmp_path.iterdir()) == [tmp_path / "1"]
