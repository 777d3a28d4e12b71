"""HTML report of scores, pictures and curves, which `growgan evaluate` and `growgan gate` write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.evaluation.charts import Chart, as_svg
from pipeline.evaluation.curves import Curves, read_curves, score_curve
from pipeline.evaluation.gate import Verdict, verdict_on
from pipeline.evaluation.page import render
from pipeline.evaluation.scores import (
    Evaluation,
    better_of,
    folder_of,
    obstacles,
    score_history,
    title_of,
)
from pipeline.training_run.folder import RunFolder
from savedmodels.atomic import write_file

REPORT = "report.html"
PICTURES = {
    "samples": ("Samples", "Uncurated: the images of the first seeds."),
    "truncated": ("Truncated samples", "The same seeds, truncated with ψ = 0.7."),
    "best": ("Best by the discriminator", "Images with the highest scores."),
    "worst": ("Worst by the discriminator", "Images with the lowest scores."),
    "nearest": (
        "Nearest neighbours",
        "Generated images, each beside the training images with the most similar features.",
    ),
    "contact-sheet": ("Pictures of the source", "Random pictures, then a row of each class."),
}
"""Title and caption of known pictures; other pictures get their name as title."""
TOGETHER = (
    ("Losses", ("critic_loss", "generator_loss")),
    ("Scores by the discriminator", ("real_score", "fake_score")),
    ("Norms of gradients", ("critic_gradient_norm", "generator_gradient_norm")),
)
"""Title and metrics of each chart that shows several metrics."""
NOT_DRAWN = ("alpha", "resolution", "seconds")
"""Metrics without a chart: they describe the position of a run, not its quality."""


class Figure(NamedTuple):
    """Picture with a title and a caption."""

    title: str
    caption: str
    png: bytes


def write_report(run: RunFolder, evaluation: Evaluation) -> Path:
    """Write `report.html` into the folder of an evaluation, and return its path.

    The report shows every `*.png` and the verdict in that folder, and the logged curves of the run.

    Raises:
        UserError: if a file of the run is damaged.
    """
    folder = folder_of(run, evaluation)
    html = report_html(
        evaluation,
        score_history(run),
        read_curves(run.metrics),
        {file.stem: file.read_bytes() for file in sorted(folder.glob("*.png"))},
        verdict_on(evaluation, folder),
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
    """Render a report as self-contained HTML without scripts.

    Args:
        evaluation: Evaluation to report.
        history: Evaluations of the run, ascending in images seen, with or without `evaluation`.
        curves: Logged curves of the run.
        pictures: PNG files by name; names in `PICTURES` get a title and a caption.
        gate: Decision of the gate; None if it was not run.
    """
    # Number the charts, so that their ids in the page differ.
    compared = enumerate(_history_charts(evaluation, history))
    return render(
        "evaluation/templates/report.html",
        {
            "evaluation": evaluation,
            "gate": gate,
            "history_charts": [as_svg(chart, f"h{key}") for key, chart in compared],
            "class_scores": dict.fromkeys(n for each in evaluation.classes for n in each.values),
            "figures": figures_of(pictures),
            "curves": curves,
            "curve_charts": metric_charts(curves),
            "title_of": title_of,
            "better_of": better_of,
        },
    )


def figures_of(pictures: Mapping[str, bytes]) -> list[Figure]:
    """Give PNG files their titles and captions, those in `PICTURES` first."""
    known = [name for name in PICTURES if name in pictures]
    names = (*known, *sorted(pictures.keys() - PICTURES.keys()))
    return [Figure(*PICTURES.get(name, (name, "")), pictures[name]) for name in names]


def metric_charts(curves: Curves) -> list[str]:
    """Draw the logged metrics as SVG charts, one for each of `TOGETHER` and each other metric."""
    together = {name for _, names in TOGETHER for name in names}
    alone = [(n, (n,)) for n in curves.metrics if n not in together and n not in NOT_DRAWN]
    # Mark where the networks grew, which excludes the first resolution.
    grown = list(curves.sizes.items())[1:]
    marks = {f"{size} px": float(images) for size, images in grown}
    charts = [
        Chart(title, "images seen", {n: curves.metrics[n] for n in names}, marks)
        for title, wanted in (*TOGETHER, *alone)
        if (names := [name for name in wanted if name in curves.metrics])
    ]
    return [as_svg(chart, f"c{key}") for key, chart in enumerate(charts)]


def _history_charts(evaluation: Evaluation, history: Sequence[Evaluation]) -> Iterator[Chart]:
    for name in (score.name for score in evaluation.scores):
        # Leave out scores that do not compare: a line through them would mislead.
        comparable = [each for each in history if not obstacles(name, each, evaluation)]
        if len(comparable) > 1:
            curve = score_curve(name, comparable, [each.images_seen for each in comparable])
            yield Chart(title_of(name), "images seen", {name: curve})
