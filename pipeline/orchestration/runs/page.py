"""HTML pages of pipeline runs: one for each run, and one that lists all runs of a project."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pipeline.evaluation.charts import COLOURS, Chart, as_svg
from pipeline.evaluation.curves import Curves, read_curves, score_curve
from pipeline.evaluation.page import render
from pipeline.evaluation.report import figures_of, metric_charts
from pipeline.evaluation.scores import (
    FINGERPRINT,
    Evaluation,
    Score,
    better_of,
    obstacles,
    title_of,
)
from pipeline.orchestration.runs.outcome import (
    HISTORY,
    PAGE,
    Outcome,
    consequence_of,
    format_duration,
    format_score,
    history_folder,
    history_of,
)
from savedmodels.atomic import write_file

_WORDING = {
    word.__name__: word
    for word in (better_of, consequence_of, format_duration, format_score, title_of)
}
"""Functions that the templates call to format values as words."""


@dataclass(frozen=True)
class ScorePair:
    """Score of the new model beside the same score of the version before."""

    new: Score
    old: Score | None
    obstacles: str  # Reasons why the two do not compare; empty if they do.
    bars: Sequence[Sequence[float]]
    """Low end, value and high end of each score, scaled to 0…1 together; empty if not drawn."""


def write_pages(project: Path, outcome: Outcome) -> Path:
    """Write the page of a run and the page of all runs, and return the path of the first."""
    files = [project / path for path in outcome.pictures]
    stems = Counter(file.stem for file in files)
    # Embed the pictures, so that the page stays complete if the run's folder is removed.
    pictures = {
        file.stem if stems[file.stem] == 1 else path: file.read_bytes()
        for path, file in zip(outcome.pictures, files, strict=True)
        if file.is_file()  # A user may have removed some.
    }
    curves = read_curves(project / outcome.curves) if outcome.curves else Curves()
    path = history_folder(project, outcome.run) / PAGE
    write_file(path, run_html(outcome, pictures, curves))
    write_file(project / HISTORY / PAGE, history_html(history_of(project)))
    return path


def run_html(outcome: Outcome, pictures: Mapping[str, bytes], curves: Curves) -> str:
    """Render the page of a run as HTML, with pictures (PNG files by title) and training curves."""
    new = outcome.evaluation
    content = {
        "index": PAGE,
        "outcome": outcome,
        "scores": list(_pair_scores(new, outcome.promoted)) if new else [],
        "colours": COLOURS,
        "fingerprint": FINGERPRINT,
        "figures": figures_of(pictures),
        "curves": curves,
        "curve_charts": metric_charts(curves),
        "hashes": _hashes(outcome),
    }
    return render("orchestration/templates/run.html", {**_WORDING, **content})


def history_html(history: Sequence[Outcome]) -> str:
    """Render the page of all runs as HTML, given their outcomes, oldest first."""
    charts = [as_svg(chart, f"h{key}") for key, chart in enumerate(_score_charts(history))]
    content = {"index": PAGE, "history": history, "charts": charts}
    return render("orchestration/templates/history.html", {**_WORDING, **content})


def _pair_scores(new: Evaluation, old: Evaluation | None) -> Iterator[ScorePair]:
    for score in new.scores:
        former = old.score(score.name) if old else None
        against = obstacles(score.name, new, old) if old and former else []
        bars = _bars(score, former) if former and not against else []
        yield ScorePair(score, former, "; ".join(against), bars)


def _bars(*scores: Score) -> list[list[float]]:
    """Scale the low ends, values and high ends of scores together to 0…1."""
    bars = [
        [score.value if end is None else end for end in (score.low, score.value, score.high)]
        for score in scores
    ]
    numbers = [number for bar in bars for number in bar]
    low, span = min(numbers), max(numbers) - min(numbers)
    # Check the span too: of large finite numbers, it may overflow to infinity.
    if not all(map(math.isfinite, (*numbers, span))) or span == 0:
        return []
    return [[(number - low) / span for number in bar] for bar in bars]


def _hashes(outcome: Outcome) -> dict[str, object]:
    """Return the run's hashes in full and other facts of its lineage, by label."""
    kept = {
        "source", "snapshot", "data_hash", "config_hash", "code", "run_folder", "version",
        "content_hash", "previous_version",
    }  # fmt: skip
    values: dict[str, object] = outcome.model_dump(include=kept)
    if outcome.evaluation:
        values["scores"] = outcome.evaluation.lineage.model_dump()
        values["features"] = outcome.evaluation.features and outcome.evaluation.features.identity
    return values


def _score_charts(history: Sequence[Outcome]) -> Iterator[Chart]:
    """Yield a chart over time for each score of the newest run that compares with earlier runs."""
    measured = [(each.started, each.evaluation) for each in history if each.evaluation]
    for score in measured[-1][1].scores if measured else ():
        comparable = [
            ((started - history[0].started) / timedelta(days=1), evaluation)
            for started, evaluation in measured
            if not obstacles(score.name, evaluation, measured[-1][1])
        ]
        if len(comparable) > 1:
            days, evaluations = zip(*comparable, strict=True)
            curve = score_curve(score.name, evaluations, days)
            yield Chart(title_of(score.name), "days since the first run", {score.name: curve})
