"""Runs beside each other: what differs, what compares, and what is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.evaluation.comparison import Entrant, compare, fid_charts, read_entrants
from pipeline.loading import load


def entrant(name: str, *history, overrides: tuple[str, ...] = ()) -> Entrant:
    """Make a run that is compared."""
    return Entrant(name, load("quickstart", overrides), history[-1], history)


def test_the_newest_scores_stand_beside_each_other(evaluated) -> None:
    first = entrant("a", evaluated(10, scores={"fid": 9.0}), evaluated(20))
    second = entrant("b", evaluated(15, scores={"fid": (2.0, 1.0, 3.0), "kid": 0.1}))
    one, other = compare([first, second]).runs
    assert (one.run, one.images_seen, one.seconds) == ("a", 20, 2.0)
    assert (one.score("fid").value, one.score("fid").low, one.score("fid").high) == (3, 2.5, 3.5)
    assert other.score("fid").value == 2.0
    assert other.score("recall") is None
    assert other.score("kid").obstacles == other.score("fid").obstacles == ()
    assert str(one.features) == "lenet 1a2b1a2b1a2b"


def test_scores_that_do_not_compare_with_the_first_are_marked_with_the_reason(evaluated) -> None:
    first = entrant("a", evaluated(20))
    second = entrant("b", evaluated(20, features={"name": "inception", "identity": "77" * 32}))
    third = entrant("c", evaluated(20, data_hash="beef" * 16))
    runs = compare([first, second, third]).runs
    assert [run.score("fid").obstacles for run in runs] == [
        (),
        ("other features, inception 777777777777 instead of lenet 1a2b1a2b1a2b",),
        ("other data, beefbeefbeef instead of da7ada7ada7a",),
    ]


def test_a_score_that_the_first_run_lacks_is_compared_with_the_next(evaluated) -> None:
    first = entrant("a", evaluated(scores={"fid": 3.0}))
    second = entrant("b", evaluated(scores={"kid": 0.1}))
    third = entrant("c", evaluated(scores={"kid": 0.2}, protocol={"images": 7}))
    _, other, last = compare([first, second, third]).runs
    assert other.score("kid").obstacles == ()
    assert last.score("kid").obstacles == (
        "another protocol: images 7 instead of 10000, references None instead of 60000",
    )


def test_only_what_changes_the_result_and_differs_is_listed(evaluated) -> None:
    first = entrant("a", evaluated(), overrides=("run.log_images=7", "gate.max_fid=5"))
    second = entrant("b", evaluated(), overrides=("run.seed=3", "alarms.patience=9"))
    assert compare([first, second]).config == {"run.seed": (0, 3)}
    assert compare([first, first]).config == {}


def test_it_is_plain_json_for_machines(evaluated) -> None:
    second = entrant("b", evaluated(), overrides=("schedule.batch_size={4: 32, 8: 16}",))
    comparison = compare([entrant("a", evaluated(5), evaluated()), second])
    content = json.loads(comparison.model_dump_json())
    assert content["schema"] == 1
    assert content["config"]["schedule.batch_size"][1] == {"4": 32, "8": 16}
    [fid] = [each for each in content["runs"][0]["scores"] if each["name"] == "fid"]
    assert fid == {
        "name": "fid", "value": 3.0, "low": 2.5, "high": 3.5,
        "protocol": {"images": 10_000, "references": 60_000}, "advice": None, "obstacles": [],
    }  # fmt: skip
    assert (content["runs"][0]["evaluations"], content["runs"][0]["drawn"]) == (2, 2)


def test_curves_are_over_images_and_over_time(evaluated) -> None:
    first = entrant("a", *(evaluated(n, scores={"fid": 1e3 / n}) for n in (10, 20)))
    second = entrant("b", evaluated(40, seconds=120.0))
    over_images, over_time = fid_charts([first, second])
    assert (over_images.x, over_time.x) == ("images seen", "minutes of training")
    assert over_images.curves["a"].x == [10, 20]
    assert over_images.curves["a"].y == over_time.curves["a"].y == [100, 50]
    assert over_time.curves["b"].x == [2.0]
    assert (over_images.curves["b"].low, over_images.curves["b"].high) == ([2.5], [3.5])
    [_, long] = fid_charts([entrant("a", evaluated(40, seconds=72_000.0))])
    assert (long.x, long.curves["a"].x) == ("hours of training", [20.0])


def test_what_does_not_compare_is_not_drawn(evaluated) -> None:
    mixed = entrant("a", evaluated(1, features=None), evaluated(2), evaluated(3))
    other = entrant("b", evaluated(4, data_hash="beef" * 16))
    over_images, _ = fid_charts([mixed, other])
    assert {name: curve.x for name, curve in over_images.curves.items()} == {"a": [2, 3]}
    assert [(run.drawn, run.evaluations) for run in compare([mixed, other]).runs] == [
        (2, 3),
        (0, 1),
    ]


def test_without_an_fid_there_are_no_curves(evaluated) -> None:
    assert fid_charts([entrant("a", evaluated(scores={"recall": 0.4}))]) == []


def test_runs_are_found_by_their_folders(evaluated, run_with, tmp_path: Path) -> None:
    run_with(tmp_path / "a", evaluated(20), evaluated(10))
    run_with(tmp_path / "empty")
    [found] = read_entrants([tmp_path / "a"])
    assert (found.name, found.newest.images_seen) == (str(tmp_path / "a"), 20)
    assert len(found.history) == 2
    with pytest.raises(UserError, match="each run must be named once"):
        read_entrants([tmp_path / "a", tmp_path / "a"])
    with pytest.raises(UserError, match="a run must be evaluated first"):
        read_entrants([tmp_path / "a", tmp_path / "empty"])
    with pytest.raises(UserError, match=r"a run folder holds a config\.yaml"):
        read_entrants([tmp_path / "none"])


def test_features_of_the_first_run_are_preferred(evaluated, run_with, tmp_path: Path) -> None:
    other = evaluated(20, features={"name": "inception", "identity": "77" * 32})
    later = other.model_copy(update={"created": other.created.replace(year=2027)})
    run_with(tmp_path / "a", evaluated(20))
    run_with(tmp_path / "b", evaluated(20), later)
    for order, features in (("ab", ["lenet", "lenet"]), ("ba", ["inception", "lenet"])):
        found = read_entrants([tmp_path / name for name in order])
        assert [each.newest.features.name for each in found] == features
