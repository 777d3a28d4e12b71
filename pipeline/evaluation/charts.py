"""Draw line charts as PNG, or as SVG in the text colour of the page around it."""

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

WIDTH, HEIGHT = 4.6, 2.4  # In inches.
DOTS = 150  # A PNG's, per inch.
# Legible on white and on black.
COLOURS = ("#3b82f6", "#e8590c", "#2f9e44", "#ae3ec9", "#b08900", "#0c8599")
DASHES = ("-", "--", ":")
MOST_MARKERS = 30
LOGARITHMIC = 50.0
"""Ratio of largest to smallest value from which the axis is logarithmic."""
_INK = "#767671"
"""Placeholder that SVG replaces by the colour of the page's text."""
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
    """Curves by name over one clock, and positions on the horizontal axis to mark, by label."""

    title: str
    x: str
    curves: Mapping[str, Curve]
    marks: Mapping[str, float] = field(default_factory=dict)


def as_png(charts: Sequence[Chart]) -> bytes:
    """Draw charts side by side on white, as PNG."""
    with _drawing():
        figure = Figure((len(charts) * WIDTH, HEIGHT * 1.3), layout="constrained")
        for number, chart in enumerate(charts, 1):
            _draw(figure.add_subplot(1, len(charts), number), chart)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=DOTS, metadata={"Software": None})
    return file.getvalue()


def as_svg(chart: Chart, key: str) -> str:
    """Draw a chart as SVG for an HTML page, in the page's text colour; names are escaped.

    `key`, of letters and digits, is the prefix of ids; it must be unique in the page.
    """
    with _drawing():
        figure = Figure((WIDTH, HEIGHT), layout="constrained")
        # Transparent, so that the page's background shows in dark mode too.
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        _draw(axes, chart)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=_NO_METADATA)
    # Ids are global in a page, and matplotlib uses the same in each chart.
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{key}-", file.getvalue())
    svg = ElementTree.fromstring(text.replace(_INK, "currentColor"))
    _make_html(svg)
    svg.attrib = {"viewBox": svg.attrib["viewBox"], "role": "img", "aria-label": chart.title}
    return ElementTree.tostring(svg, "unicode")


@contextmanager
def _drawing() -> Iterator[None]:
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Names may have characters that the font lacks; a box for one is no reason to warn.
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
            # Markers show single evaluations; of many points they would hide the line.
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
    # A single curve is named by the title.
    if len(chart.curves) > 1:
        axes.legend(axes.lines[: len(chart.curves)], list(chart.curves))


def _in_thousands(value: float) -> str:
    # EngFormatter writes small numbers in thousandths: 0.5 as `500m`.
    return f"{value:g}" if abs(value) < 1 else EngFormatter(sep="")(value)


def _spans_magnitudes(chart: Chart) -> bool:
    values = [y for curve in chart.curves.values() for y in (*curve.low, *curve.high)]
    # A score may be NaN, and no logarithm is defined for what is 0 or less.
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) > LOGARITHMIC * min(finite)


def _make_html(element: ElementTree.Element) -> None:
    # HTML has no name spaces.
    element.tag = element.tag.rpartition("}")[2]
    element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    for child in list(element):
        _make_html(child)
        if child.tag in ("style", "metadata"):  # A style would hold for the whole page.
            element.remove(child)
