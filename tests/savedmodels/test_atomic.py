"""Files and folders that appear whole or not at all."""

from __future__ import annotations

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
