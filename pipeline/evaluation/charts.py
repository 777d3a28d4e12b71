"""Line charts for reports and `growgan compare`: PNG files, or SVG in the page's text colour."""

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

WIDTH, HEIGHT = 4.6, 2.4  # Size of one chart in inches.
DOTS = 150  # Dots per inch of a PNG.
# Legible on white and on black.
COLOURS = ("#3b82f6", "#e8590c", "#2f9e44", "#ae3ec9", "#b08900", "#0c8599")
DASHES = ("-", "--", ":")
MAX_MARKERS = 30  # Maximum number of points at which a curve has a marker on each point.
LOGARITHMIC = 50.0  # Ratio of largest to smallest value above which the y axis is logarithmic.
_INK = "#767671"
"""Grey of text and axes in a PNG; an SVG gets the page's text colour instead."""
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 8.0,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.0,
    "svg.fonttype": "none",  # Text stays text: small, searchable, and open to screen readers.
    "svg.hashsalt": "growgan",  # Fixed, so that the same chart has the same bytes.
    "text.color": _INK,
    "text.parse_math": False,  # A dollar sign in a name would start a formula.
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Chart:
    """Line chart of one or more curves."""

    title: str  # Title above the chart
    x: str  # Label of the horizontal axis
    curves: Mapping[str, Curve]  # Curves by their name in the legend
    marks: Mapping[str, float] = field(default_factory=dict)
    """Positions of vertical lines on the horizontal axis, by their label."""


def as_png(charts: Sequence[Chart]) -> bytes:
    """Draw charts side by side on white, as PNG."""
    with _chart_style():
        figure = Figure((len(charts) * WIDTH, HEIGHT * 1.3), layout="constrained")
        for number, chart in enumerate(charts, 1):
            _draw(figure.add_subplot(1, len(charts), number), chart)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=DOTS, metadata={"Software": None})
    return file.getvalue()


def as_svg(chart: Chart, key: str) -> str:
    """Draw a chart as SVG for an HTML page, in the page's text colour; names are escaped.

    Every id in the SVG begins with `key`: letters and digits that no other chart of the page has.
    """
    with _chart_style():
        figure = Figure((WIDTH, HEIGHT), layout="constrained")
        # Transparent, so that the page's background shows in dark mode too.
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        _draw(axes, chart)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=_NO_METADATA)
    # Prefix the ids: matplotlib gives every chart the same, but they must be unique in a page.
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{key}-", file.getvalue())
    svg = ElementTree.fromstring(text.replace(_INK, "currentColor"))
    _make_html(svg)
    svg.attrib = {"viewBox": svg.attrib["viewBox"], "role": "img", "aria-label": chart.title}
    return ElementTree.tostring(svg, "unicode")


@contextmanager
def _chart_style() -> Iterator[None]:
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Ignore characters that the font lacks: matplotlib draws a box for them.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def _draw(axes: Axes, chart: Chart) -> None:
    for index, curve in enumerate(chart.curves.values()):
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(
            curve.x,
            curve.y,
            color=colour,
            linestyle=DASHES[index // len(COLOURS) % len(DASHES)],
            # Mark single evaluations, but not many points: their markers would hide the line.
            marker="o" if len(curve.x) <= MAX_MARKERS else "",
        )
        axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
    if _spans_magnitudes(chart):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _with_prefix(value)))
    axes.set_title(chart.title)
    axes.set_xlabel(chart.x)
    axes.grid(alpha=0.25, linewidth=0.5)
    for label, x in chart.marks.items():
        axes.axvline(x, color=_INK, linestyle=":", linewidth=0.7)
        axes.text(x, 1, f" {label}", fontsize=6, va="top", transform=axes.get_xaxis_transform())
    # Omit the legend of a single curve, which the title names.
    if len(chart.curves) > 1:
        axes.legend(axes.lines[: len(chart.curves)], list(chart.curves))


def _with_prefix(value: float) -> str:
    """Format a number with a metric prefix, such as `2k`; numbers below 1 without one."""
    # EngFormatter would write 0.5 as `500m`.
    return f"{value:g}" if abs(value) < 1 else EngFormatter(sep="")(value)


def _spans_magnitudes(chart: Chart) -> bool:
    values = [y for curve in chart.curves.values() for y in (*curve.low, *curve.high)]
    # Leave out NaN; values of 0 or less have no logarithm, so they keep the axis linear.
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) > LOGARITHMIC * min(finite)


def _make_html(element: ElementTree.Element) -> None:
    """Remove from SVG what HTML does not allow: XML namespaces, `style` and `metadata`."""
    element.tag = element.tag.rpartition("}")[2]
    element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    for child in list(element):
        _make_html(child)
        if child.tag in ("style", "metadata"):  # A style would apply to the whole page.
            element.remove(child)
