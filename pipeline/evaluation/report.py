"""The report of an evaluation: a page of its scores, pictures and curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.evaluation.charts import Chart, as_svg
from pipeline.evaluation.curves import Curves, read_curves, score_curve
from pipeline.evaluation.gate import Verdict, is_of, read_verdict
from pipeline.evaluation.page import render
from pipeline.evaluation.scores import (
    Evaluation,
    better_of,
    folder_of,
    history_of,
    obstacles,
    title_of,
)
from pipeline.run_folder import RunFolder
from savedmodels.atomic import write_file

REPORT = "report.html"
PICTURES = {
    "samples": ("Samples", "Uncurated: the first seeds, as they come."),
    "truncated": ("Truncated samples", "The same seeds, drawn towards the mean, ψ = 0.7."),
    "best": ("Best by the discriminator", "Of all that were scored, those of the highest score."),
    "worst": ("Worst by the discriminator", "Those of the lowest score."),
    "nearest": (
        "Nearest neighbours",
        "Generated images, each beside the training images that are nearest to it in features.",
    ),
    "contact-sheet": ("Pictures of the source", "At random and, row by row, of each class."),
}
"""Title and caption of the pictures that are known; others have their name."""
TOGETHER = (
    ("Losses", ("critic_loss", "generator_loss")),
    ("Scores by the discriminator", ("real_score", "fake_score")),
    ("Norms of gradients", ("critic_gradient_norm", "generator_gradient_norm")),
)
"""Metrics that share a chart."""
NOT_DRAWN = ("alpha", "resolution", "seconds")
"""Metrics that say where a run stands, not how it goes."""


class Figure(NamedTuple):
    """Picture with a title and a caption."""

    title: str
    caption: str
    png: bytes


def write_report(run: RunFolder, evaluation: Evaluation) -> Path:
    """Write `report.html` of an evaluation, from what lies in its folder and in the run's.

    Pictures are all `*.png` beside the scores; a verdict is that in `gate.json`, if it is of these
    scores.

    Raises:
        UserError: if a file of the run is damaged.
        OSError: if one cannot be read or written.
    """
    folder = folder_of(run, evaluation)
    verdict = read_verdict(folder)
    html = report_html(
        evaluation,
        history_of(run),
        read_curves(run.metrics),
        {file.stem: file.read_bytes() for file in sorted(folder.glob("*.png"))},
        verdict if verdict and is_of(verdict, evaluation) else None,
    )
    write_file(folder / REPORT, html)
    return folder / REPORT


def report_html(
    evaluation: Evaluation,
    history: Sequence[Evaluation],
    curves: Curves,
    pictures: Mapping[str, bytes],
    gate: Verdict | None,
) -> str:
    """A report as HTML: no script, no reference to anything outside it.

    Args:
        evaluation: Evaluation to report.
        history: Evaluations of the run, ascending in images seen, with or without this one.
        curves: Logged curves of the run.
        pictures: PNG files by name, of `PICTURES` or others.
        gate: Decision of the gate, None if it was not asked.
    """
    compared = enumerate(_histories(evaluation, history))
    return render(
        "evaluation/templates/report.html",
        {
            "evaluation": evaluation,
            "gate": gate,
            "history_charts": [as_svg(chart, f"h{key}") for key, chart in compared],
            "class_scores": dict.fromkeys(n for each in evaluation.classes for n in each.values),
            "figures": figures_of(pictures),
            "curves": curves,
            "curve_charts": charts_of(curves),
            "title_of": title_of,
            "better_of": better_of,
        },
    )


def figures_of(pictures: Mapping[str, bytes]) -> list[Figure]:
    """Return PNG files with what to say about them: those that are known first."""
    known = [name for name in PICTURES if name in pictures]
    names = (*known, *sorted(pictures.keys() - PICTURES.keys()))
    return [Figure(*PICTURES.get(name, (name, "")), pictures[name]) for name in names]


def charts_of(curves: Curves) -> list[str]:
    """Draw a chart as SVG for each kind of metric that was logged."""
    together = {name for _, names in TOGETHER for name in names}
    alone = [(n, (n,)) for n in curves.metrics if n not in together and n not in NOT_DRAWN]
    grown = list(curves.sizes.items())[1:]
    marks = {f"{size} px": float(images) for size, images in grown}
    charts = [
        Chart(title, "images seen", {n: curves.metrics[n] for n in names}, marks)
        for title, wanted in (*TOGETHER, *alone)
        if (names := [name for name in wanted if name in curves.metrics])
    ]
    return [as_svg(chart, f"c{key}") for key, chart in enumerate(charts)]


def _histories(evaluation: Evaluation, history: Sequence[Evaluation]) -> Iterator[Chart]:
    """Yield a chart of each score of which there are several that compare."""
    for name in (score.name for score in evaluation.scores):
        alike = [each for each in history if not obstacles(name, each, evaluation)]
        if len(alike) > 1:
            curve = score_curve(name, alike, [each.images_seen for each in alike])
            yield Chart(title_of(name), "images seen", {name: curve})
