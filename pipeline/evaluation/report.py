"""The report of an evaluation: a page of its scores, pictures and curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from pipeline.evaluation.charts import Chart, as_svg
from pipeline.evaluation.curves import Curve, Curves, read_curves, score_curve
from pipeline.evaluation.gate import Verdict, is_of, read_verdict
from pipeline.evaluation.page import element, figure, flat, number, page, quiet, table
from pipeline.evaluation.scores import (
    Evaluation,
    Protocol,
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
    return page(
        f"{evaluation.run}, {evaluation.images_seen:,} images",
        [
            *_summary(evaluation, gate),
            *_scores(evaluation, history),
            *_classes(evaluation),
            *pictures_section(pictures),
            *curves_section(curves),
            *_origin(evaluation),
        ],
    )


def _summary(evaluation: Evaluation, gate: Verdict | None) -> Iterator[Element]:
    yield element("h1", evaluation.run)
    yield element(
        "p",
        f"{evaluation.checkpoint}, {evaluation.images_seen:,} images seen in "
        f"{evaluation.seconds / 60:,.1f} minutes of training; measured "
        f"{evaluation.created:%Y-%m-%d %H:%M %Z}",
        class_="quiet",
    )
    yield from gate_section(gate)


def gate_section(gate: Verdict | None) -> Iterator[Element]:
    """Section with the gate's decision, and a reason for each rule."""
    yield element("h2", "Gate")
    if gate is None:
        yield element("p", "Not asked.")
        return
    against = f", against {gate.promoted.run} ({gate.promoted.checkpoint})" if gate.promoted else ""
    yield element("p", _passed(gate.passed), against)
    yield table(
        ("Rule", "", "Reason"),
        [(rule.rule, _passed(rule.passed), rule.reason) for rule in gate.rules],
        cards=True,
    )


def _passed(passed: bool) -> Element:
    word = "passed" if passed else "failed"
    return element("span", word, class_=word)


def _scores(evaluation: Evaluation, history: Sequence[Evaluation]) -> Iterator[Element]:
    yield element("h2", "Scores")
    yield table(
        ("Score", "Value", "95 % interval", "Better", "Protocol"),
        [
            (
                title_of(score.name),
                number(f"{score.value:.4g}"),
                number("" if score.low is None else f"{score.low:.4g} to {score.high:.4g}"),
                better_of(score.name),
                _protocol(score.protocol),
            )
            for score in evaluation.scores
        ],
    )
    yield element("p", f"Features: {evaluation.features or 'none'}", class_="quiet")
    for advice, titles in evaluation.advice.items():
        yield element("p", f"Take care, {', '.join(titles)}: {advice}")
    for name, why in evaluation.not_measured.items():
        yield element("p", f"Not measured: {name}, as {why}")
    charts = [
        as_svg(Chart(title_of(name), "images seen", {name: curve}), f"h{key}")
        for key, (name, curve) in enumerate(_histories(evaluation, history))
    ]
    if charts:
        yield element("h2", "Scores over images seen")
        yield element("p", "Of evaluations that compare with this one.", class_="quiet")
        yield element("div", *charts, class_="charts")


def _histories(
    evaluation: Evaluation, history: Sequence[Evaluation]
) -> Iterator[tuple[str, Curve]]:
    """Each score of which there are several that compare."""
    for name in (score.name for score in evaluation.scores):
        alike = [each for each in history if not obstacles(name, each, evaluation)]
        if len(alike) > 1:
            yield name, score_curve(name, alike, [each.images_seen for each in alike])


def _classes(evaluation: Evaluation) -> Iterator[Element]:
    if not evaluation.classes:
        return
    names = dict.fromkeys(name for each in evaluation.classes for name in each.values)
    yield element("h2", "Classes")
    yield table(
        ("Class", "Images", *map(title_of, names)),
        [
            (
                each.name,
                number(f"{each.images:,}"),
                *(number(f"{each.values[n]:.4g}" if n in each.values else "") for n in names),
            )
            for each in evaluation.classes
        ],
    )


def pictures_section(pictures: Mapping[str, bytes]) -> Iterator[Element]:
    """PNG files by name: those that are known first, then the others."""
    if not pictures:
        return
    known = [name for name in PICTURES if name in pictures]
    names = (*known, *sorted(pictures.keys() - PICTURES.keys()))
    figures = (figure(pictures[name], *PICTURES.get(name, (name, ""))) for name in names)
    yield element("h2", "Pictures")
    yield element("div", *figures, class_="figures")


def curves_section(curves: Curves) -> Iterator[Element]:
    """A chart for each kind of what was logged, and the alarms."""
    if not curves.metrics:
        return
    together = {name for _, names in TOGETHER for name in names}
    alone = [(n, (n,)) for n in curves.metrics if n not in together and n not in NOT_DRAWN]
    grown = list(curves.sizes.items())[1:]
    marks = {f"{size} px": float(images) for size, images in grown}
    charts = [
        Chart(title, "images seen", {n: curves.metrics[n] for n in names}, marks)
        for title, wanted in (*TOGETHER, *alone)
        if (names := [name for name in wanted if name in curves.metrics])
    ]
    yield element("h2", "Curves of the run")
    yield element(
        "p",
        "Means of neighbouring entries and their range; a line where the networks grew.",
        class_="quiet",
    )
    drawn = [as_svg(chart, f"c{key}") for key, chart in enumerate(charts)]
    yield element("div", *drawn, class_="charts")
    if curves.alarms:
        yield element("h2", "Alarms")
        yield table(
            ("Images seen", "Alarm"),
            [(number(f"{images:,}"), text) for images, text in curves.alarms],
        )


def _origin(evaluation: Evaluation) -> Iterator[Element]:
    if evaluation.features is not None:
        yield element("h2", "Features")
        yield table((), list(flat(evaluation.features.model_dump())))
    yield element("h2", "Lineage")
    yield table((), list(flat(evaluation.lineage.model_dump())))


def _protocol(protocol: Protocol) -> Element:
    return quiet(", ".join(f"{name} {value}" for name, value in protocol.items()))
