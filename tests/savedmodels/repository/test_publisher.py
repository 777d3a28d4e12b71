"""Versions and labels change in an order that no watcher objects to, whoever else publishes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from savedmodels import atomic
from savedmodels.repository import servers
from savedmodels.repository.errors import GateRefused, RepositoryError
from savedmodels.repository.history import read_history
from savedmodels.repository.publisher import Promotion, Published, publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import About, Gate, files_of, publication_of

ROOT = Path(__file__).parents[3]
KILLED = Path(__file__).with_name("killed_publishers.py")
UNWATCHED = Watchers(none=True)
FAILED = Gate(passed=False, reasons=("max_fid: `fid` must be at most 3. Received: 9",))

Make = Callable[..., Path]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


def published(repository: Repository, *sources: Path, **about: Any) -> None:
    with publisher_of(repository, "faces") as publisher:
        for source in sources:
            publisher.publish(source, About(**about))


def promoted(
    repository: Repository, version: int, watchers: Watchers = UNWATCHED, label: Any = "stable"
) -> Promotion:
    with publisher_of(repository, "faces") as publisher:
        return publisher.promote(label, version, watchers)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


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


def test_a_number_is_never_used_again(
    repository: Repository, savedmodel: Make, tmp_path: Path
) -> None:
    published(repository, *(savedmodel(tmp_path / str(n), str(n)) for n in range(3)))
    with publisher_of(repository, "faces") as publisher:
        assert publisher.retain(1) == [1, 2]
        (repository.path / "faces" / "3").rename(tmp_path / "taken away")
    with publisher_of(repository, "faces") as publisher:
        assert publisher.publish(tmp_path / "0", About()) == Published(4, new=True)
    (repository.path / "faces" / "0017").mkdir()  # A watcher would read it as 17.
    with publisher_of(repository, "faces") as publisher:
        assert publisher.publish(tmp_path / "1", About()) == Published(18, new=True)


def test_a_label_moves_while_a_server_watches(
    repository: Repository,
    savedmodel: Make,
    watching: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written, write = [], atomic.write_file

    def note(path: Path, content: Any) -> None:
        written.extend(watching.parsed(content))
        write(path, content)

    monkeypatch.setattr(atomic, "write_file", note)
    server = watching.WatchingServer(repository.models_config)
    monkeypatch.setattr(servers, "_pause", server.poll)
    with server.listening(polling=False) as url:
        watchers = Watchers((url, url))
        for n in (1, 2, 3):
            published(repository, savedmodel(tmp_path / str(n), str(n)))
            assert promoted(repository, n, watchers) == Promotion("stable", n, moved=True)
        assert promoted(repository, 3, watchers, "canary").moved
        with publisher_of(repository, "faces") as publisher:
            assert publisher.roll_back("stable", watchers).version == 2
        assert server.labels["faces"] == {"stable": 2, "canary": 3}
    server.poll()
    assert server.problems == []
    assert server.states["faces"].keys() == {2, 3}
    # Load, move, unload. A server that polls seldom sees fewer of these.
    assert [(each["versions"], each["labels"]) for each in written] == [
        (None, {}),
        ([1], {}),
        ([1], {"stable": 1}),
        ([1, 2], {"stable": 1}),
        ([1, 2], {"stable": 2}),
        ([2], {"stable": 2}),
        ([2, 3], {"stable": 2}),
        ([2, 3], {"stable": 3}),
        ([3], {"stable": 3}),
        ([3], {"stable": 3, "canary": 3}),
        ([2, 3], {"stable": 3, "canary": 3}),
        ([2, 3], {"stable": 2, "canary": 3}),
    ]
    kinds = [event.event for event in read_history(repository.path / "faces")]
    assert kinds == [
        *("published", "loading", "moved"),
        *("published", "loading", "moved", "unloaded") * 2,
        *("loading", "moved"),
        *("loading", "rolled_back"),
    ]


def test_without_a_server_the_label_stays_and_the_same_call_goes_on(
    repository: Repository,
    savedmodel: Make,
    watching: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published(repository, savedmodel(tmp_path / "1", "a"), savedmodel(tmp_path / "2", "b"))
    promoted(repository, 1)
    waits = promoted(repository, 2, Watchers())
    assert (waits.version, waits.moved) == (2, False)
    assert "--server" in str(waits.reason)
    [told] = watching.parsed(repository.models_config.read_text())
    assert (told["versions"], told["labels"]) == ([1, 2], {"stable": 1})
    before = read_history(repository.path / "faces")
    assert promoted(repository, 2, Watchers()) == waits
    assert read_history(repository.path / "faces") == before

    server = watching.WatchingServer(repository.models_config)
    server.states = {"faces": {1: "AVAILABLE", 2: "LOADING"}}
    monkeypatch.setattr(servers, "_pause", server.poll)
    with server.listening(polling=False) as url:
        late = promoted(repository, 2, Watchers((url,), seconds=0))
        assert not late.moved
        assert "state LOADING" in str(late.reason)
        server.poll()
        # It has the version, and then does not look again: what served before stays.
        stays = promoted(repository, 2, Watchers((url,), seconds=0))
        assert stays.moved
        assert "version 1 stays loaded" in str(stays.reason)
        assert repository.standing("faces").loaded == {1, 2}
        assert promoted(repository, 2, Watchers()).reason is not None
        server.poll()
        assert promoted(repository, 2, Watchers((url,))) == Promotion("stable", 2, moved=True)
    assert repository.standing("faces").loaded == {2}
    assert server.problems == []


def test_what_a_server_cannot_load_is_taken_back(
    repository: Repository,
    savedmodel: Make,
    watching: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published(repository, savedmodel(tmp_path / "1", "a"), savedmodel(tmp_path / "2", "b"))
    server = watching.WatchingServer(repository.models_config, failing=(2,))
    for _ in range(3):
        server.poll()  # It tries the newest already, as there is no label.
    monkeypatch.setattr(servers, "_pause", server.poll)
    with server.listening(polling=False) as url:
        with pytest.raises(RepositoryError, match="version 2 of faces cannot be loaded: DATA"):
            promoted(repository, 2, Watchers((url,)))
        promoted(repository, 1, Watchers((url,)))
        server.poll()
        with pytest.raises(RepositoryError, match="version 2 of faces cannot be loaded: DATA"):
            promoted(repository, 2, Watchers((url,)))
        # It was mended: what the server says of the first try does not count.
        server.poll()
        server.failing = ()
        assert promoted(repository, 2, Watchers((url,))).moved
        server.failing = (3,)
        published(repository, savedmodel(tmp_path / "3", "c"))
        with pytest.raises(RepositoryError, match="version 3 of faces cannot be"):
            promoted(repository, 3, Watchers((url,)))
    standing = repository.standing("faces")
    assert (standing.labels, dict(standing.pending), standing.loaded) == ({"stable": 2}, {}, {2})
    assert server.problems == []


def test_going_back_takes_back_what_waits_first(
    repository: Repository, savedmodel: Make, tmp_path: Path
) -> None:
    published(repository, *(savedmodel(tmp_path / str(n), str(n)) for n in (1, 2, 3)))
    promoted(repository, 1)
    promoted(repository, 2)
    promoted(repository, 3, Watchers())
    with publisher_of(repository, "faces") as publisher:
        assert publisher.roll_back("stable", Watchers()) == Promotion("stable", 2, moved=True)
        assert publisher.standing().loaded == {2}
        # Now it goes back, as soon as servers have loaded it; to ask again does not go further.
        for _ in range(2):
            waits = publisher.roll_back("stable", Watchers())
            assert (waits.version, waits.moved) == (1, False)
            assert publisher.standing().labels == {"stable": 2}
        assert publisher.roll_back("stable", UNWATCHED) == Promotion("stable", 1, moved=True)
        with pytest.raises(RepositoryError, match="Received: faces, which has none"):
            publisher.roll_back("stable", UNWATCHED)
        with pytest.raises(RepositoryError, match="`canary` goes back to a version"):
            publisher.roll_back("canary", UNWATCHED)
        publisher.promote("canary", 3, Watchers())
        assert publisher.roll_back("canary", Watchers()) == Promotion("canary", None, moved=True)


def test_the_gate_keeps_stable_from_what_it_failed(
    repository: Repository, savedmodel: Make, tmp_path: Path
) -> None:
    published(repository, savedmodel(tmp_path / "1"), gate=FAILED)
    before = read_history(repository.path / "faces")
    with publisher_of(repository, "faces") as publisher:
        with pytest.raises(GateRefused, match=r"max_fid: `fid` must be at most 3\. Received: 9"):
            publisher.promote("stable", 1, UNWATCHED)
        assert read_history(publisher.folder) == before
        assert publisher.promote("canary", 1, UNWATCHED).moved
        # A later verdict counts, and a person may know better.
        assert publisher.promote("stable", 1, UNWATCHED, gate=Gate(passed=True)).moved
        assert not read_history(publisher.folder)[-1].forced
    published(repository, savedmodel(tmp_path / "2", "b"), gate=FAILED)
    with publisher_of(repository, "faces") as publisher:
        assert publisher.promote("stable", 2, UNWATCHED, force=True).moved
        assert [e for e in read_history(publisher.folder) if e.event == "moved"][-1].forced


def test_only_what_no_label_needs_is_removed(
    repository: Repository, savedmodel: Make, watching: ModuleType, tmp_path: Path
) -> None:
    published(repository, *(savedmodel(tmp_path / str(n), str(n)) for n in range(1, 8)))
    (repository.path / "faces" / "77").mkdir()  # Not ours.
    promoted(repository, 1)
    promoted(repository, 2)
    promoted(repository, 3)
    promoted(repository, 5, label="canary")
    promoted(repository, 6, Watchers())
    with publisher_of(repository, "faces") as publisher:
        with pytest.raises(RepositoryError, match="`keep` must be at least 1"):
            publisher.retain(0)
        # Stable stands at 3, moves to 6, would go back to 2; canary stands at 5.
        assert publisher.retain(1) == [1, 4]
        assert publisher.retain(1) == []
    left = [each.version for each in repository.versions("faces")]
    assert left == [2, 3, 5, 6, 7, 77]
    assert not list(repository.path.rglob(".*.tmp"))
    [told] = watching.parsed(repository.models_config.read_text())
    assert set(told["versions"]) <= set(left)


def test_the_versions_tell_where_they_stand(
    repository: Repository, savedmodel: Make, tmp_path: Path
) -> None:
    assert repository.versions("faces") == []
    published(repository, savedmodel(tmp_path / "1", "a"), savedmodel(tmp_path / "2", "b"))
    assert [each.loaded for each in repository.versions("faces")] == [False, True]
    promoted(repository, 1)
    promoted(repository, 1, label="canary")
    promoted(repository, 2, Watchers())
    (repository.path / "faces" / "3").mkdir()
    told = [(each.labels, each.pending, each.loaded) for each in repository.versions("faces")]
    assert told == [
        (("stable", "canary"), (), True),
        ((), ("stable",), True),
        ((), (), False),
    ]
    assert repository.versions("faces")[2].publication is None


def test_models_share_a_config_with_the_path_that_servers_see(
    repository: Repository, savedmodel: Make, watching: ModuleType, tmp_path: Path
) -> None:
    source = savedmodel(tmp_path / "1")
    for name in ("faces", "cats"):
        served_at = "/models/" if name == "faces" else None
        with publisher_of(repository, name, served_at=served_at) as publisher:
            publisher.publish(source, About())
    (repository.path / "empty").mkdir()
    models = watching.parsed(repository.models_config.read_text())
    assert [each["base_path"] for each in models] == ["/models/cats", "/models/faces"]
    with (
        pytest.raises(RepositoryError, match=r"must be absolute\. Received: models"),
        publisher_of(repository, "cars", served_at="models"),
    ):
        pass
    assert not (repository.path / "cars").exists()


def test_who_reads_models_config_has_a_whole_one(
    repository: Repository, savedmodel: Make, tmp_path: Path
) -> None:
    published(repository, savedmodel(tmp_path / "1"))
    opened = tmp_path / "opened"
    os.link(repository.models_config, opened)
    before = opened.read_bytes()
    promoted(repository, 1)
    assert opened.read_bytes() == before != repository.models_config.read_bytes()


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "a:b", "ä", "a b"])
def test_names_of_models_are_names_of_folders_and_parts_of_urls(
    repository: Repository, name: str
) -> None:
    with pytest.raises(RepositoryError, match="the name of a model must be"):
        repository.folder_of(name)


def test_what_is_damaged_is_named_and_nothing_changes(
    repository: Repository, savedmodel: Make, tmp_path: Path
) -> None:
    source = savedmodel(tmp_path / "1")
    published(repository, source)
    with publisher_of(repository, "faces") as publisher:
        for version in (0, 2):
            with pytest.raises(RepositoryError, match=f"one of 1. Received: {version}"):
                publisher.promote("stable", version, UNWATCHED)
        with pytest.raises(RepositoryError, match=r"a folder with a saved_model\.pb"):
            publisher.publish(tmp_path / "nothing", About())
        (tmp_path / "elsewhere").mkdir()
        (source / "assets").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(RepositoryError, match="must hold its folders itself"):
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
        copy(one, other)
        other.write_text("other")

    monkeypatch.setattr("shutil.copyfile", late)
    with (
        publisher_of(repository, "faces") as publisher,
        pytest.raises(RepositoryError, match="must not change while it is published"),
    ):
        publisher.publish(source, About())
    assert not list(repository.path.glob("*/[0-9]*"))
    assert not list(repository.path.rglob(".*.tmp"))


@pytest.mark.parametrize("action", ["first", "publish", "roll_back"])
def test_a_publisher_may_be_killed_at_any_step(action: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(KILLED), str(tmp_path), action],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["wrong"] == []
    assert told["steps"] > {"first": 40, "publish": 60, "roll_back": 20}[action]


PUBLISH = """
import sys, time
from pathlib import Path
from savedmodels.repository.publisher import publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.versions import About
base, source, ready, go = map(Path, sys.argv[1:5])
def pause(event, arguments):
    if event == sys.argv[5] and "/models/" in str(arguments[0]):
        ready.touch()
        while not go.exists():
            time.sleep(0.01)
sys.addaudithook(pause)
with publisher_of(Repository(base), "faces") as publisher:
    print(publisher.publish(source, About()).version)
"""


def test_what_a_living_publisher_writes_is_left_alone_and_waited_for(
    repository: Repository, savedmodel: Make, tmp_path: Path
) -> None:
    one, two = savedmodel(tmp_path / "1", "a"), savedmodel(tmp_path / "2", "b")
    ready, go = tmp_path / "ready", tmp_path / "go"
    words = [repository.path, one, ready, go, "os.rename"]
    other = subprocess.Popen(
        [sys.executable, "-c", PUBLISH, *map(str, words)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    while not ready.exists() and other.poll() is None:
        time.sleep(0.01)
    seen: list[Path] = []

    def waited(lock: Path) -> None:
        seen.extend([lock, *lock.parent.glob(".*.tmp")])
        go.touch()

    with publisher_of(repository, "faces", on_wait=waited) as publisher:
        assert publisher.publish(two, About()) == Published(2, new=True)
    assert other.communicate()[0] == "1\n"
    assert len(seen) == 2
    assert not list(repository.path.rglob(".*.tmp"))


def test_publishers_at_the_same_time_get_versions_of_their_own(
    repository: Repository, savedmodel: Make, watching: ModuleType, tmp_path: Path
) -> None:
    sources = [savedmodel(tmp_path / str(n), str(n % 4)) for n in range(6)]
    go, broken, ended = tmp_path / "go", [], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            for path in repository.path.glob("*/*"):
                if path.name.isdecimal() and not watching.is_whole(path):
                    broken.append(path)

    watcher = threading.Thread(target=watch)
    watcher.start()
    processes = []
    for n, source in enumerate(sources):
        ready = tmp_path / f"ready-{n}"
        words = [repository.path, source, ready, go, "fcntl.flock"]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", PUBLISH.replace('"/models/" in str(arguments[0])', "True"),
                 *map(str, words)],
                env=environment(),
                stdout=subprocess.PIPE,
                text=True,
            )
        )  # fmt: skip
    while not all((tmp_path / f"ready-{n}").exists() for n in range(6)):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    go.touch()
    versions = [int(process.communicate()[0]) for process in processes]
    ended.set()
    watcher.join()
    assert sorted(set(versions)) == [1, 2, 3, 4]
    assert versions[0] == versions[4]
    assert versions[1] == versions[5]
    assert broken == []
    assert [each.version for each in repository.versions("faces")] == [1, 2, 3, 4]
    kinds = [event.event for event in read_history(repository.path / "faces")]
    assert kinds == ["published"] * 4
