"""Curves for charts: the logged metrics of a run over images seen, and its scores."""

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

POINTS = 200  # Maximum number of points of a curve; a chart cannot show more.


@dataclass(frozen=True)
class Curve:
    """Values `y` at positions `x`, each with a range from `low` to `high` that may be empty."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Curves:
    """Logged curves of a run."""

    metrics: dict[str, Curve] = field(default_factory=dict)
    """Curves by name of the metric. A point is the mean of neighbouring log entries; its range is
    from their smallest to their largest value."""
    sizes: dict[int, int] = field(default_factory=dict)
    """Images seen at the first log entry of each resolution, by resolution in pixels."""
    alarms: tuple[tuple[int, str], ...] = ()  # Alarms in the log, as pairs of images seen and text


def read_curves(metrics: Path) -> Curves:
    """Read the curves in `metrics.jsonl`; none if there is no such file.

    Raises:
        UserError: if a line before the last is damaged.
    """
    entries: list[dict[str, Any]] = []
    # Bytes, so that one that is not UTF-8 is an error of its line.
    lines = metrics.read_bytes().splitlines() if metrics.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            entries.append({**entry, "images_seen": int(entry["images_seen"])})
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            if number < len(lines):  # The last line may be cut off where the run was killed.
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
            # Skip a non-finite value: it would make the mean with its neighbours non-finite.
            if name != "images_seen" and isinstance(value, int | float) and math.isfinite(value):
                points[name].append((seen, value))
        if isinstance(entry.get("resolution"), float):
            sizes.setdefault(int(entry["resolution"]), seen)
    return Curves({name: _downsample(each) for name, each in points.items()}, sizes, tuple(alarms))


def score_curve(name: str, evaluations: Sequence[Evaluation], clock: Sequence[float]) -> Curve:
    """Make the curve of a score, which all evaluations must have, with its intervals.

    `clock` is the position of each evaluation on the horizontal axis.
    """
    scores = [score for each in evaluations if (score := each.score(name))]
    return Curve(
        x=clock,
        y=[score.value for score in scores],
        low=[score.value if score.low is None else score.low for score in scores],
        high=[score.value if score.high is None else score.high for score in scores],
    )


def _downsample(points: Sequence[tuple[int, float]]) -> Curve:
    groups = np.array_split(np.array(points, np.float64), min(POINTS, len(points)))
    return Curve(
        x=[float(group[:, 0].mean()) for group in groups],
        y=[float(group[:, 1].mean()) for group in groups],
        low=[float(group[:, 1].min()) for group in groups],
        high=[float(group[:, 1].max()) for group in groups],
    )
