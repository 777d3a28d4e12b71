"""Charts: what is drawn is there, in PNG and in SVG that a page can hold."""

from __future__ import annotations

import io
import math
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pipeline.evaluation.charts import COLOURS, Chart, as_png, as_svg
from pipeline.evaluation.curves import Curve

XS = list(range(1000, 11_000, 1000))


def curve(*ys: float) -> Curve:
    """A curve with a band of a tenth around it."""
    return Curve(XS[: len(ys)], ys, [0.9 * y for y in ys], [1.1 * y for y in ys])


def drawn(chart: Chart, key: str = "k") -> ElementTree.Element:
    """A chart's SVG, taken apart."""
    return ElementTree.fromstring(as_svg(chart, key))


def texts(svg: ElementTree.Element) -> list[str]:
    """Every text in a chart."""
    return [element.text for element in svg.iter("text")]


def test_a_clock_is_told_in_thousands_but_not_in_thousandths() -> None:
    ys, days = (1, 2, 3), (0.0, 0.5, 1.0)
    assert {"0", "0.4", "1"} <= set(texts(drawn(Chart("a", "x", {"a": Curve(days, ys, ys, ys)}))))
    assert {"1k", "2k", "3k"} <= set(texts(drawn(Chart("a", "x", {"a": curve(*ys)}))))


def test_names_are_text_whatever_they_hold() -> None:
    names = ["_hidden", "$x^2$", "<script>alert(1)</script>", "a&b", "数字"]
    svg = drawn(Chart("T<i>", "images seen", {name: curve(1, 2, 3) for name in names}))
    assert {*names, "T<i>", "images seen"} <= set(texts(svg))
    assert not [element for element in svg.iter() if element.tag in ("script", "i", "style")]


def test_a_name_that_the_font_lacks_is_no_reason_to_complain() -> None:
    assert as_png([Chart("数字", "x", {"走る": curve(1, 2), "b": curve(2, 1)})])


def test_one_curve_is_named_by_the_title_alone() -> None:
    svg = drawn(Chart("FID", "images seen", {"unused": curve(1, 2)}))
    assert "FID" in texts(svg)
    assert "unused" not in texts(svg)
    assert (svg.get("role"), svg.get("aria-label")) == ("img", "FID")


def test_a_chart_takes_the_colour_of_the_page() -> None:
    text = as_svg(Chart("a", "x", {"a": curve(1, 2)}), "k")
    assert "currentColor" in text
    assert "#767671" not in text
    assert "http" not in text


def test_charts_of_a_page_share_no_name() -> None:
    chart = Chart("a", "x", {"a": curve(1, 2)})
    one, other = drawn(chart, "k1"), drawn(chart, "k2")
    ids = [element.get("id") for svg in (one, other) for element in svg.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) > 10
    for svg in (one, other):
        own = {element.get("id") for element in svg.iter()}
        used = {element.get("href")[1:] for element in svg.iter("use")}
        assert used
        assert used <= own


def test_the_same_chart_has_the_same_bytes() -> None:
    chart = Chart("a", "x", {"a": curve(1, 2, 5), "b": curve(3, 2, 1)}, {"8 px": 2000})
    assert as_svg(chart, "k") == as_svg(chart, "k")
    assert as_png([chart]) == as_png([chart])


def test_marks_have_a_line_and_a_word() -> None:
    svg = drawn(Chart("a", "x", {"a": curve(1, 2, 3)}, {"8 px": 2000, "16 px": 3000}))
    assert {" 8 px", " 16 px"} <= set(texts(svg))


@pytest.mark.parametrize(
    ("ys", "ticks"), [((1, 10, 1000), {"1", "10", "100", "1000"}), ((-1, 10, 1000), {"0", "400"})]
)
def test_magnitudes_are_drawn_as_such_where_there_is_no_sign(ys: tuple, ticks: set[str]) -> None:
    assert ticks <= set(texts(drawn(Chart("a", "x", {"a": curve(*ys)}))))


@pytest.mark.parametrize("ys", [(math.nan,), (math.nan, 1.0, math.inf), (0.0,), (2.0, 2.0), ()])
def test_any_numbers_can_be_drawn(ys: tuple[float, ...]) -> None:
    assert texts(drawn(Chart("a", "x", {"a": curve(*ys)})))
    assert as_png([Chart("a", "x", {"a": curve(*ys)})])


def test_a_png_holds_every_chart_and_the_colour_of_every_curve() -> None:
    chart = Chart("a", "x", {str(n): curve(n + 1, n + 2, n + 3) for n in range(3)})
    with Image.open(io.BytesIO(as_png([chart, chart]))) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width, _ = pixels.shape
    assert width > 2 * height
    for half in (pixels[:, : width // 2], pixels[:, width // 2 :]):
        for colour in COLOURS[:3]:
            wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
            assert (half == wanted).all(-1).sum() > 100
