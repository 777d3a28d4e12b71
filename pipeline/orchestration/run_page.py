"""Pages of what became of runs of the pipeline: one for each, and one of all in a project."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import Element

from pipeline.evaluation.charts import COLOURS, Chart, as_svg
from pipeline.evaluation.curves import Curves, read_curves, score_curve
from pipeline.evaluation.page import element, flat, number, page, quiet, table
from pipeline.evaluation.report import curves_section, gate_section, pictures_section
from pipeline.evaluation.scores import (
    FINGERPRINT,
    Evaluation,
    Score,
    better_of,
    obstacles,
    title_of,
)
from pipeline.orchestration.outcome import (
    HISTORY,
    PAGE,
    Ending,
    Outcome,
    Step,
    StepState,
    consequence_of,
    duration_text,
    history_folder,
    history_of,
    score_text,
)
from savedmodels.atomic import write_file

NEW, OLD, *_ = COLOURS
"""Colours of a new score and of the old one that is drawn beside it."""
STRIP = 120
"""Width of the drawing of two intervals, in pixels."""
SHADES: dict[Ending | StepState, str] = {
    "promoted": "passed",
    "done": "passed",
    "unchanged": "quiet",
    "skipped": "quiet",
    "interrupted": "quiet",
    "gate failed": "failed",
    "alarm": "failed",
    "rolled back": "failed",
    "failed": "failed",
}
"""How words are shown."""


def write_pages(project: Path, outcome: Outcome) -> Path:
    """Write the page of a run whose outcome is in the history, and that of all; the run's path.

    Pictures that are no longer there are left out.

    Raises:
        UserError: if what a run has logged, or another outcome, is damaged.
        OSError: if a file cannot be read or written.
    """
    files = [project / path for path in outcome.pictures]
    stems = Counter(file.stem for file in files)
    pictures = {
        file.stem if stems[file.stem] == 1 else path: file.read_bytes()
        for path, file in zip(outcome.pictures, files, strict=True)
        if file.is_file()
    }
    curves = read_curves(project / outcome.curves) if outcome.curves else Curves()
    path = history_folder(project, outcome.run) / PAGE
    write_file(path, run_html(outcome, pictures, curves))
    write_file(project / HISTORY / PAGE, history_html(history_of(project)))
    return path


def run_html(outcome: Outcome, pictures: Mapping[str, bytes], curves: Curves) -> str:
    """The page of a run as HTML.

    Args:
        outcome: Outcome of the run.
        pictures: PNG files by name.
        curves: Logged curves of the training.
    """
    return page(
        f"{outcome.model}, {_day(outcome)}: {outcome.verdict}",
        [
            *_summary(outcome),
            *_lineage(outcome),
            *_scores(outcome),
            *(gate_section(outcome.gate) if outcome.gate else ()),
            *_steps(outcome.steps),
            *pictures_section(pictures),
            *curves_section(curves),
            *_hashes(outcome),
        ],
    )


def history_html(history: Sequence[Outcome]) -> str:
    """The page of all runs as HTML, the newest first.

    Args:
        history: The oldest first.
    """
    if not history:
        return page("Runs", [element("h1", "Runs"), element("p", "There is none yet.")])
    newest = history[-1]
    charts = [as_svg(chart, f"h{key}") for key, chart in enumerate(_over_time(history))]
    rows = [_row(outcome) for outcome in reversed(history)]
    titles = ("Began, UTC", "Verdict", "Version", "Trigger", "Pictures", "Score", "Time", "Reason")
    together = [
        element("h2", "Scores over time"),
        element("p", "Of runs that compare with the newest.", class_="quiet"),
        element("div", *charts, class_="charts"),
    ]
    return page(
        f"{newest.model}: runs",
        [
            element("h1", newest.model),
            element("p", f"The newest run: {newest.verdict}. {consequence_of(newest)}."),
            element("h2", "Runs"),
            table(titles, rows, cards=True),
            *(together if charts else ()),
        ],
    )


def _summary(outcome: Outcome) -> Iterator[Element]:
    yield element("nav", element("a", "All runs", href=f"../{PAGE}"))
    yield element("h1", outcome.model)
    yield element(
        "p",
        f"Run {outcome.run}, started by: {outcome.trigger}. {_day(outcome)} UTC, "
        f"{duration_text(outcome.seconds)}.",
        class_="quiet",
    )
    yield element(
        "div",
        element("p", _word(outcome.verdict), f" {consequence_of(outcome)}."),
        element("p", f"Why: {outcome.reason}"),
        class_=f"verdict {SHADES[outcome.verdict]}-edge",
    )


def _lineage(outcome: Outcome) -> Iterator[Element]:
    yield element("h2", "Lineage")
    yield element("ol", *(_link(*each) for each in _chain(outcome)), class_="chain")


def _chain(outcome: Outcome) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield what the version was made from, in order: name, text and hash."""
    snapshot, evaluation, version = outcome.snapshot, outcome.evaluation, outcome.version
    if snapshot is None:
        yield "Source", outcome.source, None
    else:
        told = f"{snapshot.images:,} pictures, {snapshot.new:,} new"
        yield "Source", told, snapshot.content_hash
    yield "Data", None, outcome.data_hash
    yield "Configuration", None, outcome.config_hash
    if evaluation is None:
        yield "Code", None, outcome.code
        yield "Checkpoint", None, None
        yield "Scores", None, None
    else:
        made = evaluation.lineage
        yield "Code", f"growgan {made.growgan}", outcome.code or made.code
        yield "Checkpoint", f"{evaluation.images_seen:,} images seen", made.checkpoint_hash
        features = evaluation.features.identity if evaluation.features else None
        yield "Scores", score_text(evaluation), features
    yield "Version", f"{version}" if version else None, outcome.content_hash


def _link(name: str, told: str | None, hashed: str | None) -> Element:
    lines = [element("strong", name)]
    if told:
        lines.append(element("span", told))
    if hashed:
        lines.append(element("code", hashed[:FINGERPRINT], title=hashed))
    if not told and not hashed:
        lines.append(quiet("none"))
    return element("li", *lines)


def _scores(outcome: Outcome) -> Iterator[Element]:
    new, old = outcome.evaluation, outcome.promoted
    if new is None:
        return
    yield element("h2", "Scores")
    former = f"Version {outcome.previous_version}" if outcome.previous_version else "Before"
    against = () if old is None else (former, "")
    yield table(
        ("Score", "New, 95 % interval", *against, "Better"),
        [
            (
                title_of(score.name),
                number(str(score)),
                *(() if old is None else _against(score, new, old)),
                better_of(score.name),
            )
            for score in new.scores
        ],
    )
    if old is not None:
        yield element(
            "p",
            "Drawn, each on its own scale: ", _swatch(NEW), " new, above; ",
            _swatch(OLD), f" {former.lower()}, below.",
            class_="quiet",
        )  # fmt: skip
        for reason, names in _not_comparable(new, old).items():
            yield element("p", f"≠ {', '.join(names)}: {reason}.", class_="quiet")
    yield element("p", f"Features: {new.features or 'none'}.", *_to_report(outcome), class_="quiet")


def _to_report(outcome: Outcome) -> Iterator[Element | str]:
    if outcome.report:
        yield " "
        yield element("a", "The report of the evaluation", href=f"../../{quote(outcome.report)}")
        yield " has their protocol."


def _against(score: Score, new: Evaluation, old: Evaluation) -> tuple[Element | str, ...]:
    former = old.score(score.name)
    if former is None:
        return "", ""
    drawn = "≠" if obstacles(score.name, new, old) else _strip(score, former)
    return number(str(former)), drawn


def _not_comparable(new: Evaluation, old: Evaluation) -> dict[str, list[str]]:
    """Titles of the scores that do not compare, by the reason."""
    reasons: dict[str, list[str]] = {}
    for score in new.scores:
        against = obstacles(score.name, new, old)
        if against and old.score(score.name):
            reasons.setdefault("; ".join(against), []).append(title_of(score.name))
    return reasons


def _strip(new: Score, old: Score) -> Element | str:
    """Two scores and their intervals on one scale, the new one above."""
    ends = [[end for end in (s.low, s.value, s.high) if end is not None] for s in (new, old)]
    least, most = min(map(min, ends)), max(map(max, ends))
    if not math.isfinite(most - least) or most == least:
        return ""

    def at(value: float) -> str:
        return f"{4 + (STRIP - 8) * (value - least) / (most - least):.1f}"

    drawn = []
    for score, numbers, y, colour in zip((new, old), ends, ["6", "16"], COLOURS, strict=False):
        bar = {"x1": at(min(numbers)), "x2": at(max(numbers)), "y1": y, "y2": y}
        drawn.append(element("line", stroke=colour, stroke_width="2", **bar))
        drawn.append(element("circle", cx=at(score.value), cy=y, r="3", fill=colour))
    label = f"{title_of(new.name)}: the new one above, the promoted one below"
    box = {"viewBox": f"0 0 {STRIP} 22", "width": str(STRIP), "height": "22"}
    return element("svg", *drawn, role="img", aria_label=label, **box)


def _steps(steps: Sequence[Step]) -> Iterator[Element]:
    if not steps:
        return
    longest = max(step.seconds for step in steps) or 1.0
    yield element("h2", "Steps")
    yield table(
        ("Step", "State", "Time", "", "Reason"),
        [
            (
                step.name,
                _word(step.state),
                number(duration_text(step.seconds) if step.seconds else ""),
                element("div", class_="bar", style=f"width: {6 * step.seconds / longest:.2f}rem"),
                element("td", step.reason, class_="told"),
            )
            for step in steps
        ],
    )


def _hashes(outcome: Outcome) -> Iterator[Element]:
    """Return the hashes in full: of the chain, and of what scores were made from."""
    kept = {
        "source", "snapshot", "data_hash", "config_hash", "code", "run_folder", "version",
        "content_hash", "previous_version",
    }  # fmt: skip
    values = outcome.model_dump(include=kept)
    if outcome.evaluation:
        values["scores"] = outcome.evaluation.lineage.model_dump()
        values["features"] = outcome.evaluation.features and outcome.evaluation.features.identity
    yield element("h2", "Whole hashes")
    yield table((), list(flat(values)))


def _row(outcome: Outcome) -> tuple[Element | str, ...]:
    snapshot, evaluation = outcome.snapshot, outcome.evaluation
    score = evaluation and score_text(evaluation)
    return (
        element("a", _day(outcome), href=f"{outcome.run}/{PAGE}", class_="whole"),
        _word(outcome.verdict),
        number(str(outcome.version or "")),
        element("td", outcome.trigger, class_="whole"),
        number(f"{snapshot.images:,}" if snapshot else ""),
        element("td", score or "", class_="whole"),
        number(duration_text(outcome.seconds)),
        element("td", outcome.reason, class_="told"),
    )


def _over_time(history: Sequence[Outcome]) -> Iterator[Chart]:
    """Each score of the newest evaluation that compares with earlier ones."""
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


def _swatch(colour: str) -> Element:
    return element("span", class_="swatch", style=f"background: {colour}")


def _word(word: Ending | StepState) -> Element:
    return element("span", word, class_=SHADES[word])


def _day(outcome: Outcome) -> str:
    return f"{outcome.started:%Y-%m-%d %H:%M}"
