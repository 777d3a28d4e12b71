"""Scores, verdicts and comparisons in lines and tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.evaluation.comparison import ComparedScore, Comparison
from pipeline.evaluation.gate import Verdict
from pipeline.evaluation.scores import FINGERPRINT, Evaluation, title_of

WIDEST = 10_000
"""Columns of a table that is not shown in a terminal: none of its lines is broken."""


def show_scores(console: Console, evaluation: Evaluation) -> None:
    """Each score with its interval and the images behind it."""
    table = _table("score", "value", "95 % interval", "images")
    for score in evaluation.scores:
        interval = "" if score.low is None else f"{score.low:.4g} to {score.high:.4g}"
        images = score.protocol.get("images")
        table.add_row(
            escape(title_of(score.name)),
            f"{score.value:.4g}",
            interval,
            "" if images is None else str(images),
        )
    _print(console, table)
    _say(console, f"features: {evaluation.features or 'none'}")


def show_verdict(console: Console, verdict: Verdict) -> None:
    """A line for each rule, and one for all."""
    for rule in verdict.rules:
        _say(console, f"{'pass' if rule.passed else 'FAIL'}  {rule.rule}: {rule.reason}")
    candidate = f"{verdict.candidate.run}, {verdict.candidate.checkpoint}"
    failed = sum(not rule.passed for rule in verdict.rules)
    outcome = f"failed {failed} of {len(verdict.rules)} rules" if failed else "passed"
    _say(console, f"gate: {candidate} {outcome}")


def show_comparison(console: Console, comparison: Comparison) -> None:
    """A column for each run; below, why some scores do not compare."""
    runs = comparison.runs
    table = _table("", *(run.run for run in runs))
    table.add_row("images seen", *(f"{run.images_seen:,}" for run in runs))
    table.add_row("minutes of training", *(f"{run.seconds / 60:,.1f}" for run in runs))
    table.add_row("data", *(run.data_hash[:FINGERPRINT] for run in runs))
    table.add_row("features", *(escape(str(run.features or "none")) for run in runs))
    for name in dict.fromkeys(score.name for run in runs for score in run.scores):
        table.add_row(escape(title_of(name)), *(_told(run.score(name)) for run in runs))
    for key, values in comparison.config.items():
        table.add_row(escape(key), *(escape(str(value)) for value in values))
    _print(console, table)
    for run in runs:
        reasons: dict[str, list[str]] = {}
        for score in run.scores:
            if score.obstacles:
                reasons.setdefault("; ".join(score.obstacles), []).append(title_of(score.name))
        for reason, titles in reasons.items():
            _say(console, f"≠ {run.run}, {', '.join(titles)}: {reason}")


def _told(score: ComparedScore | None) -> str:
    if score is None:
        return ""
    return f"{score} ≠" if score.obstacles else str(score)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(escape(title), justify="right" if number else "left", overflow="fold")
    return table


def _print(console: Console, table: Table) -> None:
    wide = console if console.is_terminal else Console(file=console.file, width=WIDEST)
    wide.print(table)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
