"""Which versions are served, and in which order they come and go."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savedmodels.server.versions import (
    All,
    Latest,
    Specific,
    State,
    VersionChanges,
    choose_versions,
    list_versions,
    plan_changes,
)


def test_only_folders_with_numbers_for_names_are_versions(tmp_path: Path) -> None:
    for name in ("1", "007", "20", "-3", "1.5", "x", ".8.0123abcd.tmp", "٣", str(2**63)):
        (tmp_path / name).mkdir()
    (tmp_path / "99").touch()
    found = list_versions(tmp_path)
    assert found is not None
    assert sorted(found) == [1, 7, 20]
    assert found[7] == tmp_path / "007"
    assert list_versions(tmp_path / "none") is None


def test_an_error_at_a_version_is_not_a_folder_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("2", "02", "1"):
        (tmp_path / name).mkdir()
    assert list_versions(tmp_path) == {1: tmp_path / "1", 2: tmp_path / "2"}
    look = Path.is_dir

    def fail(path: Path) -> bool:
        if path.name == "1":
            raise OSError(errno.ESTALE, "Stale file handle")
        return look(path)

    monkeypatch.setattr(Path, "is_dir", fail)
    with pytest.raises(OSError, match="Stale"):
        list_versions(tmp_path)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Latest(), {9}),
        (Latest(0), {9}),
        (Latest(2), {5, 9}),
        (Latest(9), {1, 5, 9}),
        (All(), {1, 5, 9}),
        (Specific(frozenset({1, 7})), {1}),
    ],
)
def test_policies(policy: Latest | All | Specific, expected: set[int]) -> None:
    assert choose_versions([5, 9, 1], policy) == expected
    assert choose_versions([], policy) == set()


def test_a_version_stays_until_another_that_is_wanted_is_available() -> None:
    assert plan_changes({1: State.AVAILABLE}, {2}) == VersionChanges((2,), ())
    assert plan_changes({1: State.AVAILABLE, 2: State.LOADING}, {2}) == VersionChanges((), ())
    assert plan_changes({1: State.AVAILABLE, 2: State.AVAILABLE}, {2}) == VersionChanges((), (1,))
    assert plan_changes({1: State.AVAILABLE}, set()) == VersionChanges((), (1,))
    assert plan_changes({1: State.END}, {1}) == VersionChanges((1,), ())
    assert plan_changes({1: State.UNLOADING}, {1}) == VersionChanges((), ())


VERSIONS = st.integers(0, 6)


@given(st.dictionaries(VERSIONS, st.sampled_from(State)), st.frozensets(VERSIONS))
def test_a_plan_never_ends_availability_while_something_is_wanted(
    states: dict[int, State], wanted: frozenset[int]
) -> None:
    made = plan_changes(states, wanted)
    available = {version for version, state in states.items() if state is State.AVAILABLE}
    assert not set(made.load) & available
    assert set(made.load) <= wanted
    assert set(made.unload) <= available - wanted
    if wanted and available:
        assert available - set(made.unload)
