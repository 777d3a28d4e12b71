"""Line charts: as PNG, and as SVG that takes the colours of the page around it."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter

from pipeline.evaluation.curves import Curve

WIDTH, HEIGHT = 4.6, 2.4
"""Width and height of a chart, in inches."""
DOTS = 150
"""Per inch of a PNG."""
COLOURS = ("#3b82f6", "#e8590c", "#2f9e44", "#ae3ec9", "#b08900", "#0c8599")
"""Legible on white and on black."""
DASHES = ("-", "--", ":")
MOST_MARKERS = 30
"""Points of a curve that are few enough to be marked each."""
LOGARITHMIC = 50.0
"""The greatest over the least number from which on small ones would not be seen otherwise."""
_INK = "#767671"
"""Stands for the colour of the page's text."""
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 8.0,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.0,
    "svg.fonttype": "none",  # Text stays text: it is small, and can be found and read out.
    "svg.hashsalt": "growgan",  # The same chart has the same bytes.
    "text.color": _INK,
    "text.parse_math": False,  # Names may hold a dollar sign.
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Chart:
    """Curves over one clock.

    Args:
        title: Title of the chart.
        x: Name of the horizontal axis.
        curves: Curves by name; one alone is not named.
        marks: Moments that get a line and a word.
    """

    title: str
    x: str
    curves: Mapping[str, Curve]
    marks: Mapping[str, float] = field(default_factory=dict)


def as_png(charts: Sequence[Chart]) -> bytes:
    """Charts side by side, on white."""
    with _drawing():
        figure = Figure((len(charts) * WIDTH, HEIGHT * 1.3), layout="constrained")
        for number, chart in enumerate(charts, 1):
            _draw(figure.add_subplot(1, len(charts), number), chart)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=DOTS, metadata={"Software": None})
    return file.getvalue()


def as_svg(chart: Chart, key: str) -> str:
    """Draw a chart as SVG inside an HTML page, whose text colour it takes; names are escaped.

    Args:
        chart: Chart to draw.
        key: Key of letters and digits; no other chart of the page has it.
    """
    with _drawing():
        figure = Figure((WIDTH, HEIGHT), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        _draw(axes, chart)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=_NO_METADATA)
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{key}-", file.getvalue())
    svg = ElementTree.fromstring(text.replace(_INK, "currentColor"))
    _make_html(svg)
    svg.attrib = {"viewBox": svg.attrib["viewBox"], "role": "img", "aria-label": chart.title}
    return ElementTree.tostring(svg, "unicode")


@contextmanager
def _drawing() -> Iterator[None]:
    """A block with our style, in which no names are complained of that the font cannot show."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def _draw(axes: Axes, chart: Chart) -> None:
    for number, curve in enumerate(chart.curves.values()):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            curve.x,
            curve.y,
            color=colour,
            linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
            marker="o" if len(curve.x) <= MOST_MARKERS else "",
        )
        axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
    if _spans_magnitudes(chart):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _in_thousands(value)))
    axes.set_title(chart.title)
    axes.set_xlabel(chart.x)
    axes.grid(alpha=0.25, linewidth=0.5)
    for word, x in chart.marks.items():
        axes.axvline(x, color=_INK, linestyle=":", linewidth=0.7)
        axes.text(x, 1, f" {word}", fontsize=6, va="top", transform=axes.get_xaxis_transform())
    if len(chart.curves) > 1:
        axes.legend(axes.lines[: len(chart.curves)], list(chart.curves))


def _in_thousands(value: float) -> str:
    """Return `1.5k` for 1500; half a day is `0.5`, not `500m`."""
    return f"{value:g}" if abs(value) < 1 else EngFormatter(sep="")(value)


def _spans_magnitudes(chart: Chart) -> bool:
    values = [y for curve in chart.curves.values() for y in (*curve.low, *curve.high)]
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) > LOGARITHMIC * min(finite)


def _make_html(element: ElementTree.Element) -> None:
    """Take away what HTML does not have in SVG: name spaces, and styles, which would be global."""
    element.tag = element.tag.rpartition("}")[2]
    element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    for child in list(element):
        _make_html(child)
        if child.tag in ("style", "metadata"):
            element.remove(child)
