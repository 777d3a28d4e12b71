"""Curves of a run over images seen: logged metrics and scores."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.evaluation.scores import Evaluation

POINTS = 200  # A chart cannot show more.


@dataclass(frozen=True)
class Curve:
    """Numbers over a clock, each with a range, which may be the number itself."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Curves:
    """Logged curves of a run.

    Args:
        metrics: Curves by name of the metric; points are means of neighbouring entries, ranges
            their smallest and largest values.
        sizes: Images seen at the first entry of each resolution, by resolution.
        alarms: Alarms in the log: images seen and text.
    """

    metrics: dict[str, Curve] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    alarms: tuple[tuple[int, str], ...] = ()


def read_curves(metrics: Path) -> Curves:
    """Read the curves in `metrics.jsonl`; none if there is no such file.

    Raises:
        UserError: if a line before the last is damaged.
    """
    entries: list[dict[str, Any]] = []
    lines = metrics.read_text().splitlines() if metrics.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            entries.append({**entry, "images_seen": int(entry["images_seen"])})
        except (ValueError, TypeError, LookupError) as error:
            if number < len(lines):  # A kill may have cut off the last.
                raise UserError(
                    f"metrics must be lines of JSON with `images_seen`. Received: {metrics}, "
                    f"line {number}"
                ) from error
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    sizes: dict[int, int] = {}
    alarms: list[tuple[int, str]] = []
    for entry in entries:
        seen = entry["images_seen"]
        if "alarm" in entry:
            alarms.append((seen, f"{entry['alarm']} {entry.get('state')}: {entry.get('text')}"))
            continue
        for name, value in entry.items():
            # A single non-finite value would spoil the mean of its neighbours.
            if name != "images_seen" and isinstance(value, int | float) and math.isfinite(value):
                points[name].append((seen, value))
        if isinstance(entry.get("resolution"), float):
            sizes.setdefault(int(entry["resolution"]), seen)
    return Curves({name: _thinned(each) for name, each in points.items()}, sizes, tuple(alarms))


def score_curve(name: str, evaluations: Sequence[Evaluation], clock: Sequence[float]) -> Curve:
    """Make a curve of a score that each evaluation has, and its interval, over a clock."""
    scores = [score for each in evaluations if (score := each.score(name))]
    return Curve(
        x=clock,
        y=[score.value for score in scores],
        low=[score.value if score.low is None else score.low for score in scores],
        high=[score.value if score.high is None else score.high for score in scores],
    )


def _thinned(points: Sequence[tuple[int, float]]) -> Curve:
    groups = np.array_split(np.array(points, np.float64), min(POINTS, len(points)))
    return Curve(
        x=[float(group[:, 0].mean()) for group in groups],
        y=[float(group[:, 1].mean()) for group in groups],
        low=[float(group[:, 1].min()) for group in groups],
        high=[float(group[:, 1].max()) for group in groups],
    )
