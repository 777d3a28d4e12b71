"""A label moves by steps that no watcher objects to, once servers have loaded the version."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from savedmodels import atomic
from savedmodels.repository.errors import GateRefused, RepositoryError
from savedmodels.repository.history import read_history
from savedmodels.repository.publisher import Promotion, publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import Gate

UNWATCHED = Watchers(none=True)
FAILED = Gate(passed=False, reasons=("max_fid: `fid` must be at most 3. Received: 9",))
Grow = Callable[..., None]
Promote = Callable[..., Promotion]


def test_a_label_moves_while_a_server_watches(
    repository: Repository,
    grow: Grow,
    promote: Promote,
    watching: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written, write = [], atomic.write_file

    def note(path: Path, content: Any) -> None:
        written.extend(watching.parsed(content))
        write(path, content)

    monkeypatch.setattr(atomic, "write_file", note)
    server = watching.WatchingServer(repository.models_config)
    monkeypatch.setattr(time, "sleep", lambda _: server.poll())
    with server.listening(polling=False) as url:
        watchers = Watchers((url, url))
        for n in (1, 2, 3):
            grow()
            assert promote(n, watchers) == Promotion("stable", n, moved=True)
        assert promote(3, watchers, "canary").moved
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


def test_a_labelled_version_that_was_removed_by_hand_is_not_waited_for(
    repository: Repository,
    grow: Grow,
    promote: Promote,
    watching: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = watching.WatchingServer(repository.models_config)
    monkeypatch.setattr(time, "sleep", lambda _: server.poll())
    with server.listening(polling=False) as url:
        watchers = Watchers((url,), seconds=30)
        grow(3)
        promote(1, watchers, "canary")
        promote(2, watchers)
        shutil.rmtree(repository.path / "faces" / "1")
        assert promote(3, watchers) == Promotion("stable", 3, moved=True)
    server.poll()
    assert server.states["faces"].keys() == {3}


def test_without_a_server_the_label_stays_and_the_same_call_goes_on(
    repository: Repository,
    grow: Grow,
    promote: Promote,
    watching: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grow(2)
    promote(1)
    waits = promote(2, Watchers())
    assert (waits.version, waits.moved) == (2, False)
    assert "--server" in str(waits.reason)
    [told] = watching.parsed(repository.models_config.read_text())
    assert (told["versions"], told["labels"]) == ([1, 2], {"stable": 1})
    before = read_history(repository.path / "faces")
    assert promote(2, Watchers()) == waits
    assert read_history(repository.path / "faces") == before

    server = watching.WatchingServer(repository.models_config)
    server.states = {"faces": {1: "AVAILABLE", 2: "LOADING"}}
    monkeypatch.setattr(time, "sleep", lambda _: server.poll())
    with server.listening(polling=False) as url:
        late = promote(2, Watchers((url,), seconds=0))
        assert not late.moved
        assert "state LOADING" in str(late.reason)
        server.poll()
        # It has the version, and then does not look again: what served before stays.
        stays = promote(2, Watchers((url,), seconds=0))
        assert stays.moved
        assert "version 1 stays loaded" in str(stays.reason)
        assert repository.label_state("faces").loaded == {1, 2}
        assert promote(2, Watchers()).reason is not None
        server.poll()
        assert promote(2, Watchers((url,))) == Promotion("stable", 2, moved=True)
    assert repository.label_state("faces").loaded == {2}
    assert server.problems == []


def test_what_a_server_cannot_load_is_taken_back(
    repository: Repository,
    grow: Grow,
    promote: Promote,
    watching: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grow(2)
    server = watching.WatchingServer(repository.models_config, failing=(2,))
    for _ in range(3):
        server.poll()  # It tries the newest already, as there is no label.
    monkeypatch.setattr(time, "sleep", lambda _: server.poll())
    with server.listening(polling=False) as url:
        with pytest.raises(RepositoryError, match="version 2 of faces cannot be loaded: DATA"):
            promote(2, Watchers((url,)))
        promote(1, Watchers((url,)))
        server.poll()
        with pytest.raises(RepositoryError, match="version 2 of faces cannot be loaded: DATA"):
            promote(2, Watchers((url,)))
        # It was mended: what the server says of the first try does not count.
        server.poll()
        server.failing = ()
        assert promote(2, Watchers((url,))).moved
        server.failing = (3,)
        grow()
        with pytest.raises(RepositoryError, match="version 3 of faces cannot be"):
            promote(3, Watchers((url,)))
    standing = repository.label_state("faces")
    assert (standing.labels, dict(standing.pending), standing.loaded) == ({"stable": 2}, {}, {2})
    assert server.problems == []


def test_the_gate_keeps_stable_from_what_it_failed(
    repository: Repository, grow: Grow, promote: Promote
) -> None:
    grow(gate=FAILED)
    before = read_history(repository.path / "faces")
    with publisher_of(repository, "faces") as publisher:
        with pytest.raises(GateRefused, match=r"max_fid: `fid` must be at most 3\. Received: 9"):
            publisher.promote("stable", 1, UNWATCHED)
        assert read_history(publisher.folder) == before
        assert publisher.promote("canary", 1, UNWATCHED).moved
        # A later verdict counts, and a person may know better.
        assert publisher.promote("stable", 1, UNWATCHED, gate=Gate(passed=True)).moved
        assert not read_history(publisher.folder)[-1].forced
    grow(gate=FAILED)
    with publisher_of(repository, "faces") as publisher:
        assert publisher.promote("stable", 2, UNWATCHED, force=True).moved
        assert [e for e in read_history(publisher.folder) if e.event == "moved"][-1].forced


def test_the_versions_tell_where_they_stand(
    repository: Repository, grow: Grow, promote: Promote
) -> None:
    assert repository.versions("faces") == []
    grow(2)
    assert [each.loaded for each in repository.versions("faces")] == [False, True]
    promote(1)
    promote(1, label="canary")
    promote(2, Watchers())
    (repository.path / "faces" / "3").mkdir()
    told = [(each.labels, each.pending, each.loaded) for each in repository.versions("faces")]
    assert told == [
        (("stable", "canary"), (), True),
        ((), ("stable",), True),
        ((), (), False),
    ]
    assert repository.versions("faces")[2].publication is None
