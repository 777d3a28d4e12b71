"""Pages of runs: what happened and why, where it came from, and no text that becomes markup."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.config import GateConfig
from pipeline.errors import UserError
from pipeline.evaluation.curves import Curves
from pipeline.evaluation.gate import judge
from pipeline.orchestration.runs.outcome import write_outcome
from pipeline.orchestration.runs.page import history_html, run_html, write_pages
from tests.pipeline.pages import EVIL, Page, picture


@pytest.fixture(name="full")
def _full(outcome_of, evaluated):
    """An outcome that has something of everything."""
    new = evaluated(2000, scores={"fid": (3.0, 2.5, 3.5), "swd_8": 1.5, "kid": (0.1, 0, 0.2)})
    old = evaluated(1000, scores={"fid": (4.0, 3.5, 4.5), "swd_8": 2.0, "recall": 0.5})
    return outcome_of(
        evaluation=new,
        promoted=old,
        gate=judge(new, GateConfig(max_fid=3.2)),
        content_hash="5a7e" * 16,
        code="9f3c" * 10,
        report="runs/a b/evaluations/report.html",
    )


def test_it_says_what_happened_and_why(full) -> None:
    page = Page(run_html(full, {}, Curves()))
    page.require_self_contained()
    for text in (
        "faces Run run-0, started by: schedule. 2026-05-04 02:00 UTC, 1 h 11 min.",
        "promoted Version 2 serves, in place of version 1.",
        "Why: every rule of the gate is kept",
        "Gate failed",
        "max_fid failed `fid` must be at most 3.2. Received: 3 (2.5 to 3.5)",
        "source_snapshot done 2.5 s",
        "checked_data unchanged the same pictures",
    ):
        assert text in page.text


def test_its_lineage_goes_from_the_source_to_the_version(full) -> None:
    page = Page(run_html(full, {}, Curves()))
    links = " ".join(page.text.partition("Lineage ")[2].partition(" Scores Score")[0].split())
    assert links == (
        "Source 6,500 pictures, 500 new 50ce50ce50ce Data da7ada7ada7a "
        "Configuration c0f1c0f1c0f1 Code growgan 0.1.0 9f3c9f3c9f3c "
        "Checkpoint 2,000 images seen c4ecc4ecc4ec Scores FID 3 (2.5 to 3.5) 1a2b1a2b1a2b "
        "Version 2 5a7e5a7e5a7e"
    )
    titles = [each["title"] for each in page.of("code")]
    whole = page.text.partition("Full hashes")[2]
    assert len(titles) == 7
    assert all(title in whole for title in titles)


def test_scores_stand_beside_those_of_the_version_before(full) -> None:
    page = Page(run_html(full, {}, Curves()))
    assert "Score New, 95 % interval Version 1 Better" in page.text
    assert "FID 3 (2.5 to 3.5) 4 (3.5 to 4.5) less" in page.text
    assert "SWD at 8 px 1.5 2 less" in page.text
    assert "KID 0.1 (0 to 0.2) less" in page.text
    # Only what compares is drawn, the new one above; both on one scale.
    strips = [each for each in page.of("svg") if "new model above" in each["aria-label"]]
    assert [each["aria-label"].partition(":")[0] for each in strips] == ["FID", "SWD at 8 px"]
    new, old, *_ = page.of("line")
    low, middle, also_middle, high = (float(line[x]) for line in (new, old) for x in ("x1", "x2"))
    assert low < middle == also_middle < high
    assert middle - low == high - middle
    assert int(new["y1"]) < int(old["y1"])
    assert [each["href"] for each in page.of("a")] == [
        "../index.html", "../../runs/a%20b/evaluations/report.html",
    ]  # fmt: skip


def test_scores_that_do_not_compare_are_marked_and_not_drawn(full, evaluated) -> None:
    other = full.model_copy(update={"promoted": evaluated(1000, data_hash="beef" * 16)})
    page = Page(run_html(other, {}, Curves()))
    assert "≠ FID: other data, da7ada7ada7a instead of beefbeefbeef." in page.text
    assert "FID 3 (2.5 to 3.5) 3 (2.5 to 3.5) ≠ less" in page.text
    assert not page.of("line")
    alone = Page(run_html(full.model_copy(update={"promoted": None}), {}, Curves()))
    assert "Score New, 95 % interval Better" in alone.text


def test_scores_without_bounds_are_not_drawn(outcome_of, evaluated) -> None:
    new = evaluated(scores={"fid": 3.0})
    for value in (float("inf"), float("nan"), (float("nan"), 2.0, 4.0), 3.0):
        old = evaluated(scores={"fid": value})
        page = Page(run_html(outcome_of(evaluation=new, promoted=old), {}, Curves()))
        assert not page.of("line")


@pytest.mark.parametrize(
    ("verdict", "version", "before", "serving", "told"),
    [
        ("promoted", 1, None, 1, "Version 1 serves, as the first."),
        ("unchanged", None, 1, 1, "There was nothing to do; version 1 goes on serving."),
        ("gate failed", 2, 1, 1, "Version 2 was refused by the gate; version 1 goes on serving."),
        (
            "gate failed",
            None,
            None,
            None,
            "The new model was refused by the gate; nothing serves yet.",
        ),
        ("alarm", None, 1, 1, "Training has stopped itself; version 1 goes on serving."),
        ("rolled back", 2, 1, 1, "Version 2 did not pass its test; version 1 serves again."),
        ("rolled back", 1, None, 1, "Version 1 did not pass its test; version 1 serves."),
        ("rolled back", 3, 2, 1, "Version 3 did not pass its test; version 1 serves."),
        ("failed", None, None, None, "A step has failed; nothing serves yet."),
        ("failed", 2, 1, 2, "A step has failed; version 2 serves."),
        ("interrupted", None, 1, 1, "goes on when it is started again; version 1 goes on serving."),
    ],
)
def test_each_verdict_says_what_serves(outcome_of, verdict, version, before, serving, told) -> None:
    outcome = outcome_of(verdict=verdict, version=version, previous_version=before, serving=serving)
    assert told in Page(run_html(outcome, {}, Curves())).text


def test_a_run_that_failed_at_once_has_a_page(outcome_of) -> None:
    outcome = outcome_of(
        verdict="failed", snapshot=None, data_hash=None, config_hash=None, steps=(), version=None
    )
    page = Page(run_html(outcome, {}, Curves()))
    page.require_self_contained()
    for title in ("Scores Score", "Gate", "Steps", "Pictures", "Curves"):
        assert title not in page.text
    assert "Source photos Data none Configuration none Code none" in page.text


def test_text_of_users_stays_text(full, evaluated) -> None:
    evil = full.model_copy(
        update={
            "model": EVIL,
            "reason": EVIL,
            "source": EVIL,
            "code": EVIL,
            "data_hash": EVIL,
            "evaluation": evaluated(run=EVIL, checkpoint=EVIL),
            "steps": tuple(each.model_copy(update={"reason": EVIL}) for each in full.steps),
            "report": '"><script>.html',
        }
    )
    for html in (run_html(evil, {EVIL: picture(1)}, Curves()), history_html([evil])):
        page = Page(html)
        page.require_self_contained()
        assert EVIL in page.text


def test_all_runs_are_listed_the_newest_first(outcome_of, evaluated) -> None:
    def scores(images: int):
        return evaluated(images, scores={"fid": (1e4 / images, 1, 99)})

    page = Page(
        history_html(
            [
                outcome_of(0, evaluation=scores(1000), version=1, previous_version=None),
                outcome_of(1, verdict="unchanged", reason="nothing new", version=None),
                outcome_of(2, evaluation=scores(2000)),
            ]
        )
    )
    page.require_self_contained()
    assert [each["href"] for each in page.of("a")] == [
        "run-2/index.html", "run-1/index.html", "run-0/index.html",
    ]  # fmt: skip
    for text in (
        "The newest run: promoted. Version 2 serves, in place of version 1.",
        "2026-05-06 02:00 promoted 2 schedule 6,500 FID 5 (1 to 99) 1 h 11 min every rule",
        "2026-05-05 02:00 unchanged schedule 6,500 1 h 11 min nothing new",
    ):
        assert text in page.text
    assert [each["aria-label"] for each in page.of("svg")] == ["FID"]


def test_scores_over_time_are_those_that_compare(outcome_of, evaluated) -> None:
    history = [
        outcome_of(0, evaluation=evaluated(data_hash="beef" * 16)),
        outcome_of(1, evaluation=evaluated()),
    ]
    assert not Page(history_html(history)).of("svg")
    both = Page(history_html([*history, outcome_of(2, evaluation=evaluated()), outcome_of(3)]))
    assert [each["aria-label"] for each in both.of("svg")] == ["FID", "Recall"]
    assert "There are no runs yet." in Page(history_html([])).text


def test_they_are_written_from_what_lies_in_the_project(
    outcome_of, run_with, tmp_path: Path
) -> None:
    run_with(tmp_path / "runs" / "a", entries=5)
    for name, value in (("one/samples.png", 1), ("two/worst.png", 2), ("three/worst.png", 3)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(picture(value))
    outcome = outcome_of(
        pictures=("one/samples.png", "two/worst.png", "three/worst.png", "gone.png"),
        curves="runs/a/metrics.jsonl",
    )
    write_outcome(tmp_path, outcome)
    write_outcome(tmp_path, outcome_of(1, verdict="failed"))
    file = write_pages(tmp_path, outcome)
    assert file == tmp_path / "history" / "run-0" / "index.html"
    page = Page(file.read_text())
    page.require_self_contained()
    assert [each["alt"] for each in page.of("img")] == [
        "Samples", "three/worst.png", "two/worst.png",
    ]  # fmt: skip
    assert [each["aria-label"] for each in page.of("svg")] == ["Losses", "diversity"]
    index = Page((file.parents[1] / "index.html").read_text())
    assert len(index.of("a")) == 2
    links = [file.parent / each["href"] for each in page.of("a")]
    assert all(link.exists() for link in links)


def test_damaged_curves_are_one_line(outcome_of, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("?\n{}\n")
    outcome = outcome_of(curves="metrics.jsonl")
    write_outcome(tmp_path, outcome)
    with pytest.raises(UserError, match="metrics must be lines of JSON"):
        write_pages(tmp_path, outcome)


def test_times_are_told_as_people_do(outcome_of) -> None:
    for seconds, told in ((0.25, "0.2 s"), (59, "59.0 s"), (61, "1 min"), (7260, "2 h 01 min")):
        step = {"name": "a", "state": "done", "seconds": seconds}
        ended = datetime(2026, 5, 4, 2, 0, 1, tzinfo=UTC)
        page = Page(run_html(outcome_of(steps=(step,), ended=ended), {}, Curves()))
        assert f"a done {told}" in page.text
