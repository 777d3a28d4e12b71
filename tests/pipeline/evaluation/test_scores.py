"""Scores files: what is written is read, and nothing else is taken for one."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.evaluation.scores import (
    SCORES,
    Score,
    better_of,
    evaluation_of,
    obstacles,
    read_scores,
    score_history,
    title_of,
    write_scores,
)
from pipeline.training_run.folder import RunFolder


def test_what_is_written_is_read(evaluated, tmp_path: Path) -> None:
    rows = [{"class": "cat", "images": 500, "fid": 4.5, "recall": 0.25}]
    evaluation = evaluated(123_456, classes=rows)
    path = write_scores(RunFolder(tmp_path), evaluation)
    folder = tmp_path / "evaluations" / "images-000123456" / "lenet-1a2b1a2b1a2b"
    assert path == folder / SCORES
    assert read_scores(path) == read_scores(path.parent) == evaluation
    assert evaluation.classes[0].values == {"fid": 4.5, "recall": 0.25}
    assert [each.name for each in path.parent.iterdir()] == [SCORES]


def test_the_file_has_the_keys_that_machines_expect(evaluated, tmp_path: Path) -> None:
    rows = [{"class": "cat", "images": 500, "advice": None, "fid": 4.5}]
    path = write_scores(RunFolder(tmp_path), evaluated(classes=rows))
    content = json.loads(path.read_text())
    assert list(content) == [
        "schema", "run", "checkpoint", "images_seen", "created", "seconds", "lineage", "features",
        "scores", "classes", "not_measured",
    ]  # fmt: skip
    assert content["schema"] == 1
    assert content["scores"][0] == {
        "name": "fid",
        "value": 3.0,
        "low": 2.5,
        "high": 3.5,
        "protocol": {"images": 10_000, "references": 60_000},
        "advice": None,
    }
    assert content["classes"] == rows
    assert content["lineage"]["packages"] == {"numpy": "2.4.6"}


def test_what_is_not_finite_survives_in_plain_json(evaluated, tmp_path: Path) -> None:
    evaluation = evaluated(scores={"fid": math.nan, "kid": (1.0, -math.inf, math.inf)})
    path = write_scores(RunFolder(tmp_path), evaluation)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(path.read_text(), parse_constant=refuse)
    fid, kid = read_scores(path).scores
    assert math.isnan(fid.value)
    assert (kid.low, kid.high) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "of schema 2"),
        ({"schema": 2, "quality": 1}, "of schema 2"),
        ({"images_seen": -1}, "`images_seen` is wrong"),
        ({"created": "yesterday"}, "`created` is wrong"),
        ({"surplus": 1}, "`surplus` is wrong: Extra inputs"),
        ({"a\nb": 1}, "`a b` is wrong"),
        ({"lineage": {}}, "`lineage.data_hash` is wrong: Field required"),
        ({"scores": [{"name": "fid"}]}, "`scores.0.value` is wrong: Field required"),
        ({"scores": [{"name": "F\x1b", "value": 1}]}, "`scores.0.name` is wrong: String should"),
        ({"scores": [{"name": "fid", "value": 1, "low": 0}]}, "must have both ends"),
        ({"scores": [{"name": "fid", "value": 1}] * 2}, "each score must be there once"),
        ({"classes": [{"class": "a", "images": 1, "fid": "low"}]}, "`classes.0.fid` is wrong"),
    ],
)
def test_a_bad_file_is_one_line(evaluated, tmp_path: Path, change: dict, reason: str) -> None:
    path = tmp_path / "some.json"
    content = evaluated().model_dump(mode="json")
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(UserError) as caught:
        read_scores(path)
    message = str(caught.value)
    rule = "scores must be a `scores.json` of schema 1 that `growgan evaluate` wrote."
    assert message.startswith(f"{rule} Received: {path}")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"scores must be a `scores.json` of schema 1"):
        read_scores(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json, which cannot be read: No such file"):
        read_scores(tmp_path / "none.json")


def test_history_is_in_the_order_of_the_clock(evaluated, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    moments = (2_000_000_000, 30, 999_999_999, 4)
    for images_seen in moments:
        write_scores(run, evaluated(images_seen))
    # Pictures alone, and what bears another name, are no evaluation.
    (run.evaluation(5) / "pixels").mkdir(parents=True)
    (run.evaluations / "images-latest").mkdir()
    assert [each.images_seen for each in score_history(run)] == sorted(moments)
    assert evaluation_of(run).images_seen == max(moments)
    assert evaluation_of(run, 30).images_seen == 30
    with pytest.raises(UserError, match=r"an evaluation after 31 images, only after 4, 30, 9999"):
        evaluation_of(run, 31)


def test_a_run_without_an_evaluation_says_so(tmp_path: Path) -> None:
    assert score_history(RunFolder(tmp_path)) == []
    with pytest.raises(UserError, match=r"evaluated first, by `growgan evaluate`.*an evaluation$"):
        evaluation_of(RunFolder(tmp_path))


def test_a_repeated_evaluation_takes_the_place_of_the_first(evaluated, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_scores(run, evaluated(5, scores={"fid": 9.0}))
    write_scores(run, evaluated(5, scores={"fid": 8.0}))
    assert [each.score("fid").value for each in score_history(run)] == [8.0]


def test_evaluations_on_other_features_stand_beside_each_other(evaluated, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    kinds = {
        "inception": {"name": "inception", "identity": "77" * 32},
        "keras-VGG16": {"name": "keras:VGG16", "identity": "88" * 32},
    }
    for number, features in enumerate((*kinds.values(), None)):
        made = evaluated(5, scores={"swd": number}, features=features)
        later = made.created.replace(minute=number)
        write_scores(run, made.model_copy(update={"created": later}))
    names = sorted(folder.name for folder in run.evaluation(5).iterdir())
    assert names == ["inception-777777777777", "keras-VGG16-888888888888", "pixels"]
    assert [each.score("swd").value for each in score_history(run)] == [0, 1, 2]
    assert evaluation_of(run).features is None  # The last that was made.
    for preferred in ("inception", "77" * 32):
        assert evaluation_of(run, features=preferred).features.name == "inception"
    assert evaluation_of(run, 5, features="lenet").features is None


def test_scores_compare_when_made_alike_at_any_time(evaluated) -> None:
    assert obstacles("fid", evaluated(10), evaluated(20, scores={"fid": 7.0})) == []


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"data_hash": "beef" * 16}, "other data, da7ada7ada7a instead of beefbeefbeef"),
        (
            {"features": {"name": "inception", "identity": "77" * 32}},
            "other features, lenet 1a2b1a2b1a2b instead of inception 777777777777",
        ),
        ({"features": None}, "other features, lenet 1a2b1a2b1a2b instead of None"),
        (
            {"features": {"name": "lenet", "identity": "1a2b" * 16, "protocol": {"resize": "x"}}},
            "other features, .*: resize none instead of x",
        ),
        (
            {"protocol": {"images": 2000, "references": 60_000}},
            "another protocol: images 10000 instead of 2000$",
        ),
        (
            {"protocol": {"images": 10_000, "references": 60_000, "k": 3}},
            "another protocol: k None instead of 3$",
        ),
        ({"scores": {"recall": 0.5}, "run": "runs/b"}, "runs/b has no fid"),
    ],
)
def test_scores_made_otherwise_do_not(evaluated, other: dict, reason: str) -> None:
    [found] = obstacles("fid", evaluated(), evaluated(**other))
    assert re.search(reason, found)


def test_scores_of_pixels_do_not_depend_on_features(evaluated) -> None:
    scores = {"swd_64": 3.0, "ms_ssim": 0.2, "kid": 0.01}
    one, other = evaluated(scores=scores), evaluated(scores=scores, features=None)
    assert obstacles("swd_64", one, other) == obstacles("ms_ssim", one, other) == []
    assert obstacles("kid", one, other) != []


def test_scores_are_told_with_their_interval() -> None:
    assert str(Score(name="fid", value=3.14159, low=3, high=3.5)) == "3.142 (3 to 3.5)"
    assert str(Score(name="fid", value=math.nan)) == "nan"
    assert [title_of(name) for name in ("fid", "swd_128", "new")] == ["FID", "SWD at 128 px", "new"]
    assert [better_of(name) for name in ("fid", "swd_128", "recall", "new")] == [
        "less", "less", "more", "",
    ]  # fmt: skip
