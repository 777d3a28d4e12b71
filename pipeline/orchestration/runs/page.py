"""Pages of the outcomes of runs: one for each run, and one of all runs of a project."""

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
"""Functions that templates call to put values into words."""


@dataclass(frozen=True)
class ScorePair:
    """A score of the new model beside that of the version before."""

    new: Score
    old: Score | None
    obstacles: str
    """Reasons why the two do not compare; empty if they do."""
    bars: Sequence[Sequence[float]]
    """Low end, value and high end of both on one scale from 0 to 1; empty if not drawn."""


def write_pages(project: Path, outcome: Outcome) -> Path:
    """Write the page of a run and the page of all runs, and return the path of the first."""
    files = [project / path for path in outcome.pictures]
    stems = Counter(file.stem for file in files)
    # Pages hold the pictures themselves: they stay whole when the run's folder is removed.
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
    """Return the page of a run as HTML, with PNG files by name and the curves of the training."""
    new = outcome.evaluation
    content = {
        "index": PAGE,
        "outcome": outcome,
        "scores": list(_compared(new, outcome.promoted)) if new else [],
        "colours": COLOURS,
        "fingerprint": FINGERPRINT,
        "figures": figures_of(pictures),
        "curves": curves,
        "curve_charts": metric_charts(curves),
        "hashes": _hashes(outcome),
    }
    return render("orchestration/templates/run.html", {**_WORDING, **content})


def history_html(history: Sequence[Outcome]) -> str:
    """Return the page of all runs as HTML, given their outcomes from the oldest."""
    charts = [as_svg(chart, f"h{key}") for key, chart in enumerate(_over_time(history))]
    content = {"index": PAGE, "history": history, "charts": charts}
    return render("orchestration/templates/history.html", {**_WORDING, **content})


def _compared(new: Evaluation, old: Evaluation | None) -> Iterator[ScorePair]:
    for score in new.scores:
        former = old.score(score.name) if old else None
        against = obstacles(score.name, new, old) if old and former else []
        bars = _bars(score, former) if former and not against else []
        yield ScorePair(score, former, "; ".join(against), bars)


def _bars(*scores: Score) -> list[list[float]]:
    """Place the low end, value and high end of scores on one scale from 0 to 1."""
    bars = [
        [score.value if end is None else end for end in (score.low, score.value, score.high)]
        for score in scores
    ]
    numbers = [number for bar in bars for number in bar]
    least, span = min(numbers), max(numbers) - min(numbers)
    # Large finite numbers may have an infinite span.
    if not all(map(math.isfinite, (*numbers, span))) or span == 0:
        return []
    return [[(number - least) / span for number in bar] for bar in bars]


def _hashes(outcome: Outcome) -> dict[str, object]:
    """Return the hashes in full: of data, configuration, code and version, and of the scores."""
    kept = {
        "source", "snapshot", "data_hash", "config_hash", "code", "run_folder", "version",
        "content_hash", "previous_version",
    }  # fmt: skip
    values: dict[str, object] = outcome.model_dump(include=kept)
    if outcome.evaluation:
        values["scores"] = outcome.evaluation.lineage.model_dump()
        values["features"] = outcome.evaluation.features and outcome.evaluation.features.identity
    return values


def _over_time(history: Sequence[Outcome]) -> Iterator[Chart]:
    """Yield a chart for each score of the newest evaluation that compares with earlier ones."""
    measured = [(each.started, each.evaluation) for each in history if each.evaluation]
    for score in measured[-1][1].scores if measured else ():
        alike = [
            ((started - history[0].started) / timedelta(days=1), evaluation)
            for started, evaluation in measured
            if not obstacles(score.name, evaluation, measured[-1][1])
        ]
        if len(alike) > 1:
            days, evaluations = zip(*alike, strict=True)
            curve = score_curve(score.name, evaluations, days)
            yield Chart(title_of(score.name), "days since the first run", {score.name: curve})
