"""A version is whole, new and numbered once, or it is not published."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.errors.system import may_pass
from savedmodels import atomic
from savedmodels.repository.errors import RepositoryError
from savedmodels.repository.publisher import Promotion, Published, publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.versions import About, Gate, files_of, publication_of

FAILED = Gate(passed=False, reasons=("max_fid: `fid` must be at most 3. Received: 9",))
Make = Callable[..., Path]
Grow = Callable[..., None]
Promote = Callable[..., Promotion]


def test_versions_grow_and_hold_all_of_their_source(
    repository: Repository, savedmodel: Make, watching: ModuleType, tmp_path: Path
) -> None:
    one, two = savedmodel(tmp_path / "1000", "a", images_seen=1000), savedmodel(tmp_path / "9", "b")
    with publisher_of(repository, "faces") as publisher:
        about = About(config={"seed": 1}, evaluation={"scores": {}}, gate=FAILED)
        assert publisher.publish(one, about) == Published(1, new=True)
        assert publisher.publish(two, About()) == Published(2, new=True)
    for version, source in ((1, one), (2, two)):
        folder = repository.path / "faces" / str(version)
        assert watching.is_whole(folder)
        for file in (path for path in source.rglob("*") if path.is_file()):
            assert (folder / file.relative_to(source)).read_bytes() == file.read_bytes()
    first = repository.publication("faces", 1)
    assert (first.model, first.version, first.lineage) == ("faces", 1, {"images_seen": 1000})
    assert first.about == about
    # The newest is served while no label is wanted.
    [served] = watching.parsed(repository.models_config.read_text())
    base = str(repository.path.resolve() / "faces")
    assert served == {"name": "faces", "base_path": base, "versions": None, "labels": {}}


def test_a_new_repository_is_on_the_disk_before_anything_is_told_of_it(
    repository: Repository, savedmodel: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    folder, sync = repository.path / "faces", atomic.sync

    def note(path: Path) -> None:
        sync(path)
        if path in (tmp_path, repository.path):
            assert not (folder / "1").exists() or path in synced
            synced.append(path)

    monkeypatch.setattr(atomic, "sync", note)
    source = savedmodel(tmp_path / "source")
    with publisher_of(repository, "faces") as publisher:
        assert set(synced) == {tmp_path, repository.path}
        publisher.publish(source, About())


def test_the_same_content_is_not_published_twice(
    repository: Repository, savedmodel: Make, tmp_path: Path
) -> None:
    # Exported again: another time, and another identifier.
    one, again = savedmodel(tmp_path / "a", at="noon"), savedmodel(tmp_path / "b", at="night")
    with publisher_of(repository, "faces") as publisher:
        assert publisher.publish(one, About()) == Published(1, new=True)
        assert publisher.publish(again, About()) == Published(1, new=False)
        (again / "variables" / "variables.index").write_text("other")
        assert publisher.publish(again, About()) == Published(2, new=True)
    # What was published comes from there as well.
    with publisher_of(repository, "cats") as publisher:
        assert publisher.publish(repository.path / "faces" / "2", About()).version == 1
    with publisher_of(repository, "cats") as publisher:
        assert publisher.publish(again, About()) == Published(1, new=False)


def test_a_number_is_never_used_again(repository: Repository, grow: Grow, tmp_path: Path) -> None:
    grow(4)
    with publisher_of(repository, "faces") as publisher:
        assert publisher.retain(1) == [1, 2]
        (repository.path / "faces" / "4").rename(tmp_path / "taken away")
    with publisher_of(repository, "faces") as publisher:
        assert publisher.publish(tmp_path / "1", About()) == Published(5, new=True)
    (repository.path / "faces" / "0017").mkdir()  # A watcher would read it as 17.
    with publisher_of(repository, "faces") as publisher:
        assert publisher.publish(tmp_path / "2", About()) == Published(18, new=True)


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "a:b", "ä", "a b", "models.config"])
def test_names_of_models_are_names_of_folders_and_parts_of_urls(
    repository: Repository, name: str
) -> None:
    with pytest.raises(RepositoryError, match="the name of a model must be"):
        repository.folder_of(name)


def test_what_is_damaged_is_named_and_nothing_changes(
    repository: Repository, grow: Grow, promote: Promote, tmp_path: Path
) -> None:
    grow()
    source = tmp_path / "1"
    for version in (0, 2):
        with pytest.raises(RepositoryError, match=f"one of 1. Received: {version}"):
            promote(version)
    with publisher_of(repository, "faces") as publisher:
        with pytest.raises(RepositoryError, match=r"a folder with saved_model\.pb"):
            publisher.publish(tmp_path / "nothing", About())
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "secret").touch()
        for elsewhere in ("elsewhere", "secret"):
            (source / "assets").symlink_to(tmp_path / elsewhere)
            with pytest.raises(RepositoryError, match="must hold its files itself"):
                publisher.publish(source, About())
            (source / "assets").unlink()
        (source / "assets.extra" / "manifest.json").write_text("[]")
        (source / "saved_model.pb").write_text("changed")
        with pytest.raises(RepositoryError, match="lineage must be a JSON object"):
            publisher.publish(source, About())
    manifest = repository.path / "faces" / "1" / "assets.extra" / "publication.json"
    good = manifest.read_text()
    for bad in ("{", "[]", "{}", good.replace('"schema": 1', '"schema": 2')):
        manifest.write_text(bad)
        with pytest.raises(RepositoryError, match="the manifest of a version must be"):
            publication_of(repository.path / "faces" / "1")
    assert [each.name for each in (repository.path / "faces").glob("[0-9]*")] == ["1"]


def test_a_source_that_changed_since_it_was_verified_is_not_published(
    repository: Repository, savedmodel: Make, tmp_path: Path
) -> None:
    source = savedmodel(tmp_path / "1")
    files = files_of(source)
    (source / "saved_model.pb").write_text("another graph")
    with (
        publisher_of(repository, "faces") as publisher,
        pytest.raises(RepositoryError, match="must not change while it is published"),
    ):
        publisher.publish(source, About(), files)
    assert not list(repository.path.glob("*/[0-9]*"))


def test_a_source_that_changes_meanwhile_is_not_published(
    repository: Repository, savedmodel: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = savedmodel(tmp_path / "1")
    copy = shutil.copyfile

    def late(one: Path, other: Path) -> None:
        one.write_text("other")
        copy(one, other)

    monkeypatch.setattr("shutil.copyfile", late)
    with (
        publisher_of(repository, "faces") as publisher,
        pytest.raises(RepositoryError, match="must not change while it is published"),
    ):
        publisher.publish(source, About())
    assert not list(repository.path.glob("*/[0-9]*"))
    assert not list(repository.path.rglob(".*.tmp"))


def test_a_repository_that_vanishes_meanwhile_is_told_of_and_not_the_source(
    repository: Repository, savedmodel: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a volume that is unmounted; it may be back at the next try."""
    copy, place = shutil.copyfile, repository.path / "faces"

    def late(one: Path, other: Path) -> None:
        copy(one, other)
        if one.name == "saved_model.pb":
            other.unlink()

    monkeypatch.setattr("shutil.copyfile", late)
    with (
        publisher_of(repository, "faces") as publisher,
        pytest.raises(OSError, match="copy in the repository differs") as caught,
    ):
        publisher.publish(savedmodel(tmp_path / "1"), About())
    assert caught.value.filename == str(place)
    assert may_pass(caught.value)
