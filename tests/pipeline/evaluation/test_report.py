"""The report: all that it has to show, nothing from outside, and no text that becomes markup."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import GateConfig
from pipeline.data.grids import write_png
from pipeline.evaluation.curves import Curves, read_curves
from pipeline.evaluation.gate import judge, write_verdict
from pipeline.evaluation.report import REPORT, report_html, write_report
from pipeline.evaluation.scores import folder_of, write_scores
from tests.pipeline.pages import EVIL, Page, picture


@pytest.fixture(name="page", scope="module")
def _page(evaluated, run_with, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A report that has something of everything."""
    history = [
        evaluated(n, scores={"fid": (1e4 / n, 9e3 / n, 2e4 / n), "swd_64": 2.0}) for n in (9, 99)
    ]
    rows = [{"class": EVIL, "images": 7, "fid": 1.25}, {"class": "b", "images": 8, "recall": 0.5}]
    evaluation = evaluated(
        1234,
        scores={"fid": (6.5, 6.25, 6.75), "swd_64": 3.0, "recall": 0.5},
        run=EVIL,
        checkpoint=EVIL,
        classes=rows,
        protocol={"images": 10_000, EVIL: EVIL},
    )
    alike = [each.model_copy(update={"scores": tuple(
        score.model_copy(update={"protocol": {"images": 10_000, EVIL: EVIL}})
        for score in each.scores
    )}) for each in history]  # fmt: skip
    run = run_with(tmp_path_factory.mktemp("report") / "run", entries=300)
    curves = read_curves(run.metrics)
    curves = Curves(
        {**curves.metrics, EVIL: curves.metrics["diversity"]}, curves.sizes, ((5, EVIL),)
    )
    verdict = judge(evaluation, GateConfig(max_fid=6.7, min_recall=0.4))
    pictures = {"samples": picture(1), "nearest": picture(2), EVIL: picture(3)}
    return Page(report_html(evaluation, [*alike, evaluation], curves, pictures, verdict))


def test_it_is_well_formed_and_self_contained(page: Page) -> None:
    page.require_self_contained()
    assert all(each["href"].startswith("#") for each in page.of("a", "use"))


def test_text_of_users_stays_text(page: Page) -> None:
    assert page.text.count(EVIL) >= 8
    assert not page.of("script")


def test_it_tells_scores_with_intervals_protocol_lineage_and_classes(page: Page) -> None:
    for text in (
        "FID 6.5 6.25 to 6.75 less images 10000",
        "SWD at 64 px 3 less",
        "Recall 0.5 more",
        "1,234 images seen in 2.1 minutes of training; measured 2026-05-04 12:00 UTC",
        "Class Images FID Recall",
        f"{EVIL} 7 1.25",
        "b 8 0.5",
        "identity " + "1a2b" * 16,
        "data_hash " + "da7a" * 16,
        "packages.numpy 2.4.6",
        "Alarms",
    ):
        assert text in page.text


def test_nested_values_are_named_by_the_way_to_them_and_none_is_left_out(evaluated) -> None:
    lineage = evaluated().lineage.model_dump() | {"a": {"b": {"c": 2.5}, "d": None}, EVIL: {"e": 1}}
    html = report_html(evaluated(lineage=lineage), [], Curves(), {}, None)
    told = Page(html).text.partition("Lineage ")[2]
    assert told.endswith(f"growgan 0.1.0 packages.numpy 2.4.6 a.b.c 2.5 {EVIL}.e 1")


def test_rules_of_the_gate_become_cards_where_the_page_is_narrow(page: Page) -> None:
    assert [each["class"] for each in page.of("div")].count("wide cards") == 1
    titles = [each["data-title"] for each in page.of("td") if "data-title" in each]
    assert titles == ["Rule", "", "Reason"] * 3


def test_it_tells_what_the_gate_decided(page: Page) -> None:
    assert "Gate failed" in page.text
    assert "max_fid failed `fid` must be at most 6.7. Received: 6.5 (6.25 to 6.75)" in page.text
    assert "min_images passed" in page.text


def test_its_pictures_are_the_files_known_ones_first(page: Page) -> None:
    prefix = "data:image/png;base64,"
    images = page.of("img")
    assert [each["alt"] for each in images] == ["Samples", "Nearest neighbours", EVIL]
    files = [base64.b64decode(each["src"].removeprefix(prefix)) for each in images]
    assert files == [picture(1), picture(2), picture(3)]


def test_its_charts_are_the_history_of_scores_and_the_curves(page: Page) -> None:
    charts = [each["aria-label"] for each in page.of("svg")]
    # Recall was measured once, and has no history.
    assert charts == ["FID", "SWD at 64 px", "Losses", "diversity", EVIL]
    assert page.texts.count(" 8 px") == 3
    assert " 4 px" not in page.texts
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_history_leaves_out_what_does_not_compare(evaluated) -> None:
    others = [evaluated(1, data_hash="beef" * 16), evaluated(2, features=None)]
    alone = Page(report_html(evaluated(9), [*others, evaluated(9)], Curves(), {}, None))
    assert not alone.of("svg")
    both = Page(report_html(evaluated(9), [evaluated(3), *others], Curves(), {}, None))
    assert not both.of("svg")
    several = [evaluated(3), *others, evaluated(9)]
    page = Page(report_html(evaluated(9), several, Curves(), {}, None))
    assert [each["aria-label"] for each in page.of("svg")] == ["FID", "Recall"]


def test_an_evaluation_alone_is_a_report(evaluated) -> None:
    page = Page(report_html(evaluated(), [], Curves(), {}, None))
    assert page.open == []
    assert "Gate Not run." in page.text
    for title in ("Pictures", "Classes", "Curves", "Alarms"):
        assert title not in page.text


def test_it_follows_the_reader_between_light_and_dark_and_prints_light(evaluated) -> None:
    html = report_html(evaluated(), [], Curves(), {}, None)
    assert "color-scheme: light dark" in html
    assert re.search(r"@media print \{\s*:root \{ color-scheme: light \}", html)


def test_it_is_written_from_what_lies_in_the_folders(evaluated, run_with, tmp_path: Path) -> None:
    first, evaluation = evaluated(100), evaluated(200)
    run = run_with(tmp_path / "run", first, evaluation, entries=5)
    folder = folder_of(run, evaluation)
    write_png(folder / "samples.png", np.full((8, 8, 3), 7, np.uint8))
    assert write_report(run, evaluation) == folder / REPORT
    page = Page((folder / REPORT).read_text())
    assert [each["alt"] for each in page.of("img")] == ["Samples"]
    assert [each["aria-label"] for each in page.of("svg")] == [
        "FID", "Recall", "Losses", "diversity",
    ]  # fmt: skip
    assert "Gate Not run." in page.text
    write_verdict(folder, judge(evaluation, GateConfig(max_fid=100)))
    write_report(run, evaluation)
    assert "Gate passed" in Page((folder / REPORT).read_text()).text


def test_a_verdict_on_earlier_scores_is_not_shown(evaluated, run_with, tmp_path: Path) -> None:
    before = evaluated(200)
    run = run_with(tmp_path / "run", before)
    write_verdict(folder_of(run, before), judge(before, GateConfig(max_fid=100)))
    again = before.model_copy(update={"created": before.created.replace(year=2027)})
    write_scores(run, again)
    assert "Gate Not run." in Page(write_report(run, again).read_text()).text
