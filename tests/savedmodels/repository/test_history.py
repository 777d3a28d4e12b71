"""What follows from the history of a model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from savedmodels.repository.errors import RepositoryError
from savedmodels.repository.history import (
    PROMOTIONS,
    Event,
    LabelState,
    Pending,
    append_event,
    read_history,
    replay,
)


def events(*lines: str) -> list[Event]:
    """Such as `moved 2 stable`, `loading 2 stable 1` with the former version."""
    found = []
    for line in lines:
        kind, version, *rest = line.split()
        label = rest[0] if rest else None
        former = int(rest[1]) if len(rest) > 1 else None
        found.append(Event(kind, int(version), "now", label=label, former=former))  # type: ignore[arg-type]
    return found


def test_a_version_is_loaded_before_the_label_moves_and_the_former_is_unloaded_after() -> None:
    story = events(
        "published 1",
        "loading 1 stable 1",
        "moved 1 stable",
        "published 2",
        "loading 2 stable 1",
        "moved 2 stable 1",
        "unloaded 1",
    )
    steps = [replay(story[: n + 1]) for n in range(len(story))]
    assert [dict(step.labels) for step in steps] == [{}] * 2 + [{"stable": 1}] * 3 + [
        {"stable": 2}
    ] * 2
    assert [set(step.loaded) for step in steps] == [set(), {1}, {1}, {1}, {1, 2}, {1, 2}, {2}]


def test_what_another_label_stands_at_stays_loaded() -> None:
    state = replay(
        events(
            "loading 1 stable 1",
            "moved 1 stable",
            "loading 2 canary 2",
            "moved 2 canary",
            "loading 2 stable 1",
            "moved 2 stable 1",
            "unloaded 1",
            "loading 3 canary 2",
            "moved 3 canary 2",
        )
    )
    assert state.labels == {"stable": 2, "canary": 3}
    assert state.loaded == {2, 3}
    assert state.retiring - state.wanted == set()


def test_without_labels_the_newest_is_served_until_a_label_moves() -> None:
    before = events("published 1", "published 2", "published 3")
    assert replay(before).loaded == set()
    assert replay([*before, *events("loading 2 stable 3")]).loaded == {2, 3}
    withdrawn = replay([*before, *events("loading 2 stable 3", "withdrawn 2 stable")])
    assert withdrawn == replay(before)


def test_going_back_again_goes_further_back() -> None:
    story = events("moved 1 stable", "moved 2 stable", "moved 3 stable")
    assert replay(story).rollback_target("stable", [1, 2, 3]) == 2
    assert replay(story).rollback_target("stable", [1, 3]) == 1
    assert replay(story).rollback_target("stable", [3]) is None
    assert replay(story).rollback_target("canary", [1, 2, 3]) is None
    story += events("rolled_back 2 stable 3")
    assert replay(story).trails["stable"] == (1, 2)
    story += events("rolled_back 1 stable 2", "moved 4 stable 1")
    assert replay(story).trails["stable"] == (1, 4)
    again = events("moved 1 stable", "moved 2 stable", "moved 1 stable", "moved 3 stable")
    assert replay([*again, *events("rolled_back 1 stable")]).trails["stable"] == (1, 2, 1)


def test_the_last_request_for_a_label_counts() -> None:
    state = replay(events("moved 1 stable", "loading 2 stable 1", "loading 3 stable 1"))
    assert state.pending == {"stable": Pending(3, back=False)}
    assert state.loaded == {1, 3}


def test_lines_come_back_as_they_were(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []
    assert replay([]) == LabelState()
    story = [
        Event("published", 1, "2026-05-04T12:00:00+00:00"),
        Event("loading", 1, "now", label="stable", former=0, back=True),
        Event("moved", 1, "now", label="stable", former=0, forced=True),
        Event("withdrawn", 1, "now", label="canary", reason="“no”\n"),
    ]
    for event in story:
        append_event(tmp_path, event)
    assert read_history(tmp_path) == story
    assert len((tmp_path / PROMOTIONS).read_text().splitlines()) == len(story)


@pytest.mark.parametrize("kept", [0, 1, 20])
def test_a_line_that_was_not_finished_never_happened(tmp_path: Path, kept: int) -> None:
    append_event(tmp_path, Event("published", 1, "now"))
    whole = (tmp_path / PROMOTIONS).read_bytes()
    append_event(tmp_path, Event("published", 2, "now"))
    both = (tmp_path / PROMOTIONS).read_bytes()
    (tmp_path / PROMOTIONS).write_bytes(both[: len(whole) + kept])
    assert read_history(tmp_path) == [Event("published", 1, "now")]
    append_event(tmp_path, Event("published", 2, "now"))
    assert (tmp_path / PROMOTIONS).read_bytes() == both


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[]", '{"event": "published"}', '{"other": 1}'),
        '{"event": "published", "version": "1", "at": "now"}',
        '{"event": "exploded", "version": 1, "at": "now"}',
        '{"event": "rolled_back", "version": 1, "at": "now", "label": "stable"}',
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / PROMOTIONS).write_text(line + "\n")
    with pytest.raises(RepositoryError, match=r"promotions\.jsonl"):
        read_history(tmp_path)


def test_a_line_is_on_the_disk_when_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bytes]] = []

    def note(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append((path.name, path.read_bytes() if path.is_file() else b""))

    monkeypatch.setattr(os, "fsync", note)
    append_event(tmp_path, Event("published", 1, "now"))
    [(name, content), folder] = synced
    assert (name, content) == (PROMOTIONS, (tmp_path / PROMOTIONS).read_bytes())
    assert content.endswith(b"\n")
    assert folder == (tmp_path.name, b"")
