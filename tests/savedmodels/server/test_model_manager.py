"""The table of versions: leases, swaps, labels, failures and retries, with made up loads."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from pathlib import Path

import pytest

from savedmodels.server.codes import Code, Refused
from savedmodels.server.model_manager import Model, ModelManager, ModelSpec
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


def new_manager(**options: float) -> ModelManager[Loaded]:
    return ModelManager(lambda _, folder: Loaded(folder), retry_seconds=0.0, **options)  # type: ignore[arg-type]


def add(base: Path, *versions: int) -> None:
    for version in versions:
        (base / str(version)).mkdir(parents=True)


def states(manager: ModelManager[Loaded], name: str = "m") -> dict[int, State]:
    return {health.version: health.state for health in manager.health(name)}


def refusal(manager: ModelManager[Loaded], spec: ModelSpec) -> Refused:
    with pytest.raises(Refused) as caught, manager.lease(spec):
        pass
    return caught.value


def test_the_newest_answers_and_the_one_before_is_closed(tmp_path: Path) -> None:
    manager = new_manager()
    add(tmp_path, 1)
    manager.follow([Model("m", tmp_path)])
    with manager.lease(ModelSpec("m")) as (version, first):
        assert version == 1
        add(tmp_path, 2)
        manager.poll()
        # It has been replaced, and this request keeps it.
        assert states(manager) == {2: State.AVAILABLE, 1: State.UNLOADING}
        assert not first.closed
        assert refusal(manager, ModelSpec("m", 1)).code is Code.NOT_FOUND
        with manager.lease(ModelSpec("m")) as (newer, _):
            assert newer == 2
    assert first.closed
    assert states(manager) == {2: State.AVAILABLE, 1: State.END}
    assert [health.version for health in manager.health("m")] == [2, 1]


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
    manager = new_manager()
    add(tmp_path, 1)
    manager.follow([Model("m", tmp_path)])
    refused = refusal(manager, spec)
    assert (refused.code, refused.message) == (code, message)


def test_status_of_what_never_was(tmp_path: Path) -> None:
    manager = new_manager()
    add(tmp_path, 1)
    manager.follow([Model("m", tmp_path)])
    with pytest.raises(Refused, match=r"^Could not find any versions of model n$"):
        manager.health("n")
    with pytest.raises(Refused, match=r"^Could not find version 3 of model m$"):
        manager.health("m", 3)


def label(manager: ModelManager[Loaded], name: str) -> int:
    with manager.lease(ModelSpec("m", None, name)) as (version, _):
        return version


def assert_label_is_refused(manager: ModelManager[Loaded], model: Model, version: int) -> None:
    with pytest.raises(Refused) as caught:
        manager.reload([model])
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert caught.value.message == (
        f"Request to assign label to version {version} of model m, "
        "which is not currently available for inference"
    )


def test_labels_move_only_to_what_is_available(tmp_path: Path) -> None:
    manager = new_manager()
    add(tmp_path, 1, 2)
    manager.reload([Model("m", tmp_path, All(), {"stable": 1})])
    moved = Model("m", tmp_path, All(), {"stable": 3})
    assert_label_is_refused(manager, moved, 3)
    add(tmp_path, 3)
    assert_label_is_refused(manager, moved, 3)
    assert label(manager, "stable") == 1
    manager.poll()  # By the configuration that is still in force.
    manager.reload([moved])
    assert label(manager, "stable") == 3


@pytest.mark.parametrize("may_wait", [False, True])
def test_a_configuration_whose_labels_are_refused_touches_no_version(
    tmp_path: Path, may_wait: bool
) -> None:
    manager = new_manager(labels_may_wait=may_wait)
    add(tmp_path, 3, 4)

    def of(*versions: int, stable: int) -> Model:
        return Model("m", tmp_path, Specific(frozenset(versions)), {"stable": stable})

    manager.reload([of(3, stable=3)])
    for version in (4, 5):  # What it would load itself is not available before.
        assert_label_is_refused(manager, of(4, stable=version), version)
        manager.poll()
        assert states(manager) == {3: State.AVAILABLE}
        assert label(manager, "stable") == 3
    manager.reload([of(3, 4, stable=3)])
    manager.reload([of(3, 4, stable=4)])
    manager.reload([of(4, stable=4)])
    assert states(manager) == {4: State.AVAILABLE, 3: State.END}
    assert label(manager, "stable") == 4


def test_a_first_configuration_may_label_what_it_loads_itself(tmp_path: Path) -> None:
    manager = new_manager()
    add(tmp_path, 1, 2)
    manager.follow([Model("m", tmp_path)])
    assert_label_is_refused(manager, Model("m", tmp_path, Latest(), {"stable": 1}), 1)
    assert states(manager) == {2: State.AVAILABLE}
    manager.reload([Model("m", tmp_path, All(), {"stable": 1})])
    assert label(manager, "stable") == 1


def test_new_labels_may_wait_where_that_is_allowed(tmp_path: Path) -> None:
    manager = new_manager(labels_may_wait=True)
    add(tmp_path, 1)
    for labels in ({"stable": 1}, {"stable": 1, "canary": 2}, {"stable": 1, "canary": 2}):
        manager.reload([Model("m", tmp_path, All(), labels)])
    wanted = ModelSpec("m", None, "canary")
    assert refusal(manager, wanted).message == "Servable not found for request: Specific(m, 2)"
    assert_label_is_refused(manager, Model("m", tmp_path, All(), {"canary": 3}), 3)
    add(tmp_path, 2)
    manager.poll()
    assert label(manager, "canary") == 2


def test_a_version_that_does_not_load_leaves_the_one_before(tmp_path: Path) -> None:
    manager = new_manager(retries=2)
    add(tmp_path, 1)
    manager.follow([Model("m", tmp_path)])
    add(tmp_path, 2)
    (tmp_path / "2" / "broken").touch()
    manager.poll()
    newest = manager.health("m", 2)[0]
    assert (newest.state, newest.code, newest.message) == (State.END, Code.DATA_LOSS, "broken")
    with manager.lease(ModelSpec("m")) as (version, _):
        assert version == 1
    (tmp_path / "2" / "broken").unlink()
    manager.poll()
    assert states(manager) == {2: State.AVAILABLE, 1: State.END}


def test_retries_end(tmp_path: Path) -> None:
    attempts = []

    def load(_: str, folder: Path) -> Loaded:
        attempts.append(folder)
        raise Refused(Code.DATA_LOSS, "broken")

    manager: ModelManager[Loaded] = ModelManager(load, retries=2, retry_seconds=0.0)
    add(tmp_path, 1)
    for _ in range(6):
        manager.follow([Model("m", tmp_path)])
    assert len(attempts) == 3
    assert manager.unready() == ["m"]


def test_a_folder_that_is_away_changes_nothing(tmp_path: Path) -> None:
    manager = new_manager()
    base = tmp_path / "m"
    add(base, 1)
    manager.follow([Model("m", base)])
    base.rename(tmp_path / "away")
    manager.poll()
    assert states(manager) == {1: State.AVAILABLE}
    (tmp_path / "away" / "1").rmdir()
    (tmp_path / "away").rename(base)
    manager.poll()
    assert states(manager) == {1: State.END}


def test_a_configuration_says_all_there_is(tmp_path: Path) -> None:
    manager = new_manager()
    for name in "ab":
        add(tmp_path / name, 1, 2)
    a, b = Model("a", tmp_path / "a"), Model("b", tmp_path / "b", Specific(frozenset({1})))
    manager.follow([a])
    manager.reload([b])
    assert states(manager, "a") == {2: State.END}
    assert states(manager, "b") == {1: State.AVAILABLE}
    # From now on what lies in the repository does not count.
    manager.follow([a, b])
    assert refusal(manager, ModelSpec("a")).code is Code.NOT_FOUND
    with pytest.raises(Refused, match="multiple times in config list"):
        manager.reload([b, b])
    with pytest.raises(Refused, match=r"^Could not find base path"):
        manager.reload([Model("c", tmp_path / "c")])
    (tmp_path / "c").mkdir()
    with pytest.raises(Refused) as caught:
        manager.reload([b, Model("c", tmp_path / "c")])
    assert caught.value.code is Code.UNKNOWN
    assert manager.unready() == ["c"]  # It is waited for, and what loads is served.
    assert states(manager, "b") == {1: State.AVAILABLE}
    manager.close()
    assert states(manager, "b") == {1: State.END}


def test_no_request_meets_a_closed_version_while_versions_are_swapped(tmp_path: Path) -> None:
    manager = new_manager()
    add(tmp_path, 1)
    manager.follow([Model("m", tmp_path, Latest(2))])
    done = threading.Event()
    faults: list[str] = []
    served = set()

    def ask() -> None:
        while not done.is_set():
            try:
                with manager.lease(ModelSpec("m")) as (version, loaded):
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
        manager.poll()
        (tmp_path / str(version - 1)).rmdir()
        manager.poll()
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

    manager = ModelManager(load)
    add(tmp_path, 1)
    manager.follow([Model("m", tmp_path)])
    [health] = manager.health("m")
    assert (health.state, health.code, health.message) == (State.END, Code.INTERNAL, "not warm")
    gc.collect()
    assert [one() for one in made] == [None]


def test_a_folder_that_is_away_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager = new_manager()
    add(tmp_path / "m", 1)
    manager.follow([Model("m", tmp_path / "m")])
    for _ in range(2):
        (tmp_path / "m").rename(tmp_path / "away")
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                manager.poll()
        (tmp_path / "away").rename(tmp_path / "m")
        manager.poll()
    assert [record.getMessage() for record in caplog.records] == [
        f"the folder of model m is not there: {tmp_path / 'm'}"
    ] * 2
    assert states(manager) == {1: State.AVAILABLE}


def test_an_end_does_not_wait_for_a_load_for_ever_and_begins_none(tmp_path: Path) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    loads: list[str] = []

    def load(_: str, folder: Path) -> Loaded:
        loads.append(folder.name)
        begun.set()
        assert goes_on.wait(60)
        return Loaded(folder)

    manager = ModelManager(load)
    add(tmp_path, 1, 2)
    model = Model("m", tmp_path, policy=All())
    loading = threading.Thread(target=manager.follow, args=([model],))
    loading.start()
    assert begun.wait(60)
    manager.close(0.01)
    goes_on.set()
    loading.join()
    assert loads == ["2"]
    manager.close()
    assert states(manager)[2] is State.END
