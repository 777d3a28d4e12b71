"""The table of versions: leases, swaps, labels, failures and retries, with made up loads."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from pathlib import Path

import pytest

from savedmodels.server.codes import Code, Refused
from savedmodels.server.servables import Model, ModelSpec, Servables
from savedmodels.server.versions import All, Latest, Specific, State


class Loaded:
    """Something that knows where it came from, and whether it was closed."""

    def __init__(self, folder: Path) -> None:
        if (folder / "broken").exists():
            raise Refused(Code.DATA_LOSS, "broken")
        self.folder = folder
        self.closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


def table(**options: float) -> Servables[Loaded]:
    return Servables(lambda _, folder: Loaded(folder), retry_seconds=0.0, **options)  # type: ignore[arg-type]


def add(base: Path, *versions: int) -> None:
    for version in versions:
        (base / str(version)).mkdir(parents=True)


def states(servables: Servables[Loaded], name: str = "m") -> dict[int, State]:
    return {health.version: health.state for health in servables.health(name)}


def refusal(servables: Servables[Loaded], spec: ModelSpec) -> Refused:
    with pytest.raises(Refused) as caught, servables.lease(spec):
        pass
    return caught.value


def test_the_newest_answers_and_the_one_before_is_closed(tmp_path: Path) -> None:
    servables = table()
    add(tmp_path, 1)
    servables.follow([Model("m", tmp_path)])
    with servables.lease(ModelSpec("m")) as (version, first):
        assert version == 1
        add(tmp_path, 2)
        servables.poll()
        # It has been replaced, and this request keeps it.
        assert states(servables) == {2: State.AVAILABLE, 1: State.UNLOADING}
        assert not first.closed
        assert refusal(servables, ModelSpec("m", 1)).code is Code.NOT_FOUND
        with servables.lease(ModelSpec("m")) as (newer, _):
            assert newer == 2
    assert first.closed
    assert states(servables) == {2: State.AVAILABLE, 1: State.END}
    assert [health.version for health in servables.health("m")] == [2, 1]


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        (ModelSpec(""), Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (ModelSpec("n"), Code.NOT_FOUND, "Servable not found for request: Latest(n)"),
        (ModelSpec("m", 3), Code.NOT_FOUND, "Servable not found for request: Specific(m, 3)"),
        (
            ModelSpec("m", None, "x"),
            Code.INVALID_ARGUMENT,
            "Unrecognized servable version label: x",
        ),
    ],
)
def test_what_is_not_served(tmp_path: Path, spec: ModelSpec, code: Code, message: str) -> None:
    servables = table()
    add(tmp_path, 1)
    servables.follow([Model("m", tmp_path)])
    refused = refusal(servables, spec)
    assert (refused.code, refused.message) == (code, message)


def test_status_of_what_never_was(tmp_path: Path) -> None:
    servables = table()
    add(tmp_path, 1)
    servables.follow([Model("m", tmp_path)])
    with pytest.raises(Refused, match=r"^Could not find any versions of model n$"):
        servables.health("n")
    with pytest.raises(Refused, match=r"^Could not find version 3 of model m$"):
        servables.health("m", 3)


def label(servables: Servables[Loaded], name: str) -> int:
    with servables.lease(ModelSpec("m", None, name)) as (version, _):
        return version


def assert_label_is_refused(servables: Servables[Loaded], model: Model, version: int) -> None:
    with pytest.raises(Refused) as caught:
        servables.reload([model])
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert caught.value.message == (
        f"Request to assign label to version {version} of model m, "
        "which is not currently available for inference"
    )


def test_labels_move_only_to_what_is_available(tmp_path: Path) -> None:
    servables = table()
    add(tmp_path, 1, 2)
    servables.reload([Model("m", tmp_path, All(), {"stable": 1})])
    moved = Model("m", tmp_path, All(), {"stable": 3})
    assert_label_is_refused(servables, moved, 3)
    add(tmp_path, 3)
    assert_label_is_refused(servables, moved, 3)
    assert label(servables, "stable") == 1
    servables.poll()  # By the configuration that is still in force.
    servables.reload([moved])
    assert label(servables, "stable") == 3


@pytest.mark.parametrize("may_wait", [False, True])
def test_a_configuration_whose_labels_are_refused_touches_no_version(
    tmp_path: Path, may_wait: bool
) -> None:
    servables = table(labels_may_wait=may_wait)
    add(tmp_path, 3, 4)

    def of(*versions: int, stable: int) -> Model:
        return Model("m", tmp_path, Specific(frozenset(versions)), {"stable": stable})

    servables.reload([of(3, stable=3)])
    for version in (4, 5):  # What it would load itself is not available before.
        assert_label_is_refused(servables, of(4, stable=version), version)
        servables.poll()
        assert states(servables) == {3: State.AVAILABLE}
        assert label(servables, "stable") == 3
    servables.reload([of(3, 4, stable=3)])
    servables.reload([of(3, 4, stable=4)])
    servables.reload([of(4, stable=4)])
    assert states(servables) == {4: State.AVAILABLE, 3: State.END}
    assert label(servables, "stable") == 4


def test_a_first_configuration_may_label_what_it_loads_itself(tmp_path: Path) -> None:
    servables = table()
    add(tmp_path, 1, 2)
    servables.follow([Model("m", tmp_path)])
    assert_label_is_refused(servables, Model("m", tmp_path, Latest(), {"stable": 1}), 1)
    assert states(servables) == {2: State.AVAILABLE}
    servables.reload([Model("m", tmp_path, All(), {"stable": 1})])
    assert label(servables, "stable") == 1


def test_new_labels_may_wait_where_that_is_allowed(tmp_path: Path) -> None:
    servables = table(labels_may_wait=True)
    add(tmp_path, 1)
    for labels in ({"stable": 1}, {"stable": 1, "canary": 2}, {"stable": 1, "canary": 2}):
        servables.reload([Model("m", tmp_path, All(), labels)])
    wanted = ModelSpec("m", None, "canary")
    assert refusal(servables, wanted).message == "Servable not found for request: Specific(m, 2)"
    assert_label_is_refused(servables, Model("m", tmp_path, All(), {"canary": 3}), 3)
    add(tmp_path, 2)
    servables.poll()
    assert label(servables, "canary") == 2


def test_a_version_that_does_not_load_leaves_the_one_before(tmp_path: Path) -> None:
    servables = table(retries=2)
    add(tmp_path, 1)
    servables.follow([Model("m", tmp_path)])
    add(tmp_path, 2)
    (tmp_path / "2" / "broken").touch()
    servables.poll()
    newest = servables.health("m", 2)[0]
    assert (newest.state, newest.code, newest.message) == (State.END, Code.DATA_LOSS, "broken")
    with servables.lease(ModelSpec("m")) as (version, _):
        assert version == 1
    (tmp_path / "2" / "broken").unlink()
    servables.poll()
    assert states(servables) == {2: State.AVAILABLE, 1: State.END}


def test_retries_end(tmp_path: Path) -> None:
    attempts = []

    def load(_: str, folder: Path) -> Loaded:
        attempts.append(folder)
        raise Refused(Code.DATA_LOSS, "broken")

    servables: Servables[Loaded] = Servables(load, retries=2, retry_seconds=0.0)
    add(tmp_path, 1)
    for _ in range(6):
        servables.follow([Model("m", tmp_path)])
    assert len(attempts) == 3
    assert servables.unready() == ["m"]


def test_a_folder_that_is_away_changes_nothing(tmp_path: Path) -> None:
    servables = table()
    base = tmp_path / "m"
    add(base, 1)
    servables.follow([Model("m", base)])
    base.rename(tmp_path / "away")
    servables.poll()
    assert states(servables) == {1: State.AVAILABLE}
    (tmp_path / "away" / "1").rmdir()
    (tmp_path / "away").rename(base)
    servables.poll()
    assert states(servables) == {1: State.END}


def test_a_configuration_says_all_there_is(tmp_path: Path) -> None:
    servables = table()
    for name in "ab":
        add(tmp_path / name, 1, 2)
    a, b = Model("a", tmp_path / "a"), Model("b", tmp_path / "b", Specific(frozenset({1})))
    servables.follow([a])
    servables.reload([b])
    assert states(servables, "a") == {2: State.END}
    assert states(servables, "b") == {1: State.AVAILABLE}
    # From now on what lies in the repository does not count.
    servables.follow([a, b])
    assert refusal(servables, ModelSpec("a")).code is Code.NOT_FOUND
    with pytest.raises(Refused, match="multiple times in config list"):
        servables.reload([b, b])
    with pytest.raises(Refused, match=r"^Could not find base path"):
        servables.reload([Model("c", tmp_path / "c")])
    (tmp_path / "c").mkdir()
    with pytest.raises(Refused) as caught:
        servables.reload([b, Model("c", tmp_path / "c")])
    assert caught.value.code is Code.UNKNOWN
    assert servables.unready() == ["c"]  # It is waited for, and what loads is served.
    assert states(servables, "b") == {1: State.AVAILABLE}
    servables.close()
    assert states(servables, "b") == {1: State.END}


def test_no_request_meets_a_closed_version_while_versions_are_swapped(tmp_path: Path) -> None:
    servables = table()
    add(tmp_path, 1)
    servables.follow([Model("m", tmp_path, Latest(2))])
    done = threading.Event()
    faults: list[str] = []
    served = set()

    def ask() -> None:
        while not done.is_set():
            try:
                with servables.lease(ModelSpec("m")) as (version, loaded):
                    served.add(version)
                    if loaded.closed:
                        faults.append(f"version {version} was closed")
            except Refused as refused:
                faults.append(refused.message)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(2, 40):
        add(tmp_path, version)
        servables.poll()
        (tmp_path / str(version - 1)).rmdir()
        servables.poll()
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(served) > 1


def test_what_does_not_load_leaves_nothing_behind(tmp_path: Path) -> None:
    made: list[weakref.ref[Loaded]] = []

    def load(_: str, folder: Path) -> Loaded:
        loaded = Loaded(folder)
        made.append(weakref.ref(loaded))
        try:
            raise OSError("it cannot be warmed up")
        except OSError as error:
            raise Refused(Code.INTERNAL, "not warm") from error

    servables = Servables(load)
    add(tmp_path, 1)
    servables.follow([Model("m", tmp_path)])
    [health] = servables.health("m")
    assert (health.state, health.code, health.message) == (State.END, Code.INTERNAL, "not warm")
    gc.collect()
    assert [one() for one in made] == [None]


def test_a_folder_that_is_away_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    servables = table()
    add(tmp_path / "m", 1)
    servables.follow([Model("m", tmp_path / "m")])
    for _ in range(2):
        (tmp_path / "m").rename(tmp_path / "away")
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                servables.poll()
        (tmp_path / "away").rename(tmp_path / "m")
        servables.poll()
    assert [record.getMessage() for record in caplog.records] == [
        f"the folder of model m is not there: {tmp_path / 'm'}"
    ] * 2
    assert states(servables) == {1: State.AVAILABLE}


def test_an_end_does_not_wait_for_a_load_for_ever_and_begins_none(tmp_path: Path) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    loads: list[str] = []

    def load(_: str, folder: Path) -> Loaded:
        loads.append(folder.name)
        begun.set()
        assert goes_on.wait(60)
        return Loaded(folder)

    servables = Servables(load)
    add(tmp_path, 1, 2)
    model = Model("m", tmp_path, policy=All())
    loading = threading.Thread(target=servables.follow, args=([model],))
    loading.start()
    assert begun.wait(60)
    servables.close(0.01)
    goes_on.set()
    loading.join()
    assert loads == ["2"]
    servables.close()
    assert states(servables)[2] is State.END
