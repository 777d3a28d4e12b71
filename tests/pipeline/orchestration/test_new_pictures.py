"""Which pictures wait for a run, after runs that ended well and others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.orchestration.new_pictures import FormerSnapshots, former_pictures
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.outcome import Ending, Outcome, SnapshotSummary, write_outcome
from pipeline.orchestration.runs.status import read_status
from pipeline.orchestration.snapshots import Snapshot, list_files, take
from tests.pipeline.orchestration.projects import make_project, put_pictures

BEGIN = datetime(2026, 5, 4, 2, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def taken(project: Project, *numbers: int) -> Snapshot:
    """The snapshot of pictures with these numbers, which then are all that there is."""
    incoming = project.path.parent / "incoming"
    for picture in incoming.iterdir():
        picture.unlink()
    for number in numbers:
        put_pictures(incoming, number, number + 1)
    return take(project)


def ended(project: Project, snapshot: Snapshot, verdict: Ending, day: int) -> None:
    began = BEGIN + timedelta(days=day)
    write_outcome(
        project.path,
        Outcome(
            run=f"{began:%Y%m%d}-a",
            model="digits",
            trigger="new data",
            started=began,
            ended=began,
            verdict=verdict,
            reason="so",
            snapshot=SnapshotSummary(
                content_hash=snapshot.content_hash, images=snapshot.images, new=0
            ),
        ),
    )


def new_now(project: Project, *numbers: int) -> tuple[int, int]:
    """How many are new, and how many at most as their files tell it."""
    snapshot, former = taken(project, *numbers), former_pictures(project)
    return former.new_in(snapshot), former.max_new(project, list_files(project))


def test_all_are_new_before_the_first_run(project: Project) -> None:
    assert former_pictures(project) == FormerSnapshots()
    assert new_now(project, 0, 1, 2) == (3, 3)


@pytest.mark.parametrize("verdict", ["promoted", "gate failed"])
def test_what_a_run_had_is_not_new_again(project: Project, verdict: Ending) -> None:
    ended(project, taken(project, 0, 1, 2), verdict, 0)
    assert new_now(project, 0, 1, 2) == (0, 0)
    assert new_now(project, 0, 1, 2, 3) == (1, 1)


def test_pictures_that_only_go_are_not_new(project: Project) -> None:
    ended(project, taken(project, 0, 1, 2), "promoted", 0)
    assert new_now(project, 0, 1) == (0, 0)


@pytest.mark.parametrize("verdict", ["failed", "gate failed", "alarm", "interrupted"])
def test_the_good_ones_count_anew_once_the_bad_one_of_a_failed_run_is_gone(
    project: Project, verdict: Ending
) -> None:
    """What nobody has trained on would wait for ever else, as nothing more has come."""
    ended(project, taken(project, 0, 1), "promoted", 0)
    ended(project, taken(project, 0, 1, 2, 3, 99), verdict, 1)
    assert new_now(project, 0, 1, 2, 3) == (2, 2)
    ended(project, taken(project, 0, 1, 2, 3), "promoted", 2)
    assert new_now(project, 0, 1, 2, 3) == (0, 0)


def test_sources_that_hold_what_is_promoted_are_said_to(project: Project) -> None:
    assert not read_status(project).as_promoted
    ended(project, taken(project, 0, 1), "promoted", 0)
    assert read_status(project).as_promoted
    ended(project, taken(project, 0, 1, 99), "failed", 1)
    assert not read_status(project).as_promoted
    taken(project, 0, 1)
    assert read_status(project).as_promoted


def test_the_bad_one_of_a_failed_run_may_be_replaced(project: Project) -> None:
    ended(project, taken(project, 0, 1, 2), "failed", 0)
    incoming = project.path.parent / "incoming"
    (incoming / "00002.png").unlink()
    put_pictures(incoming, 3, 4)
    (incoming / "00003.png").rename(incoming / "00002.png")
    former = former_pictures(project)
    assert former.max_new(project, list_files(project)) == 3
    assert former.new_in(take(project)) == 3


@pytest.mark.parametrize(
    ("before", "now", "few"),
    [
        (None, 1, "1 pictures are new, not 2"),
        (None, 2, None),
        (4, 5, "1 pictures are new, not 2"),
        (4, 6, None),
        (4, 3, "0 pictures are new, not 2"),
        (4, 4, None),  # The configuration may have changed.
    ],
)
def test_so_many_pictures_have_to_be_new(
    project: Project, before: int | None, now: int, few: str | None
) -> None:
    last = None if before is None else taken(project, *range(before))
    former = FormerSnapshots(last=last)
    assert former.too_few(taken(project, *range(now)), 2) == few
