"""Print scores for `growgan evaluate`, `gate` and `compare`."""

from __future__ import annotations

from rich.console import Console

from pipeline.cli.console import say
from pipeline.cli.tables import join_first, new_table, print_table
from pipeline.evaluation.comparison import ComparedScore, Comparison
from pipeline.evaluation.gate import Verdict
from pipeline.evaluation.scores import FINGERPRINT, Evaluation, title_of


def show_scores(console: Console, evaluation: Evaluation) -> None:
    """Print each score with its interval and its number of images."""
    table = new_table("score", "value", "95 % interval", "images")
    for score in evaluation.scores:
        interval = "" if score.low is None else f"{score.low:.4g} to {score.high:.4g}"
        images = score.protocol.get("images")
        table.add_row(
            title_of(score.name),
            f"{score.value:.4g}",
            interval,
            "" if images is None else str(images),
        )
    print_table(console, table)
    say(console, f"features: {evaluation.features or 'none'}")
    for advice, titles in evaluation.advice.items():
        say(console, f"take care, {join_first(titles)}: {advice}")
    for name, why in evaluation.not_measured.items():
        say(console, f"not measured: {name}, as {why}")


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Print one line per rule, and the verdict."""
    for rule in verdict.rules:
        say(console, f"{'pass' if rule.passed else 'FAIL'}  {rule.rule}: {rule.reason}")
    candidate = f"{verdict.candidate.run}, {verdict.candidate.checkpoint}"
    failed = sum(not rule.passed for rule in verdict.rules)
    outcome = f"failed {failed} of {len(verdict.rules)} rules" if failed else "passed"
    say(console, f"gate: {candidate} {outcome}")


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print one column per run, and why scores marked ≠ do not compare."""
    runs = comparison.runs
    table = new_table("", *(run.run for run in runs))
    table.add_row("images seen", *(f"{run.images_seen:,}" for run in runs))
    table.add_row("minutes of training", *(f"{run.seconds / 60:,.1f}" for run in runs))
    table.add_row("data", *(run.data_hash[:FINGERPRINT] for run in runs))
    table.add_row("features", *(str(run.features or "none") for run in runs))
    # Deduplicate by dict, which keeps the order of the scores; a set would not.
    for name in dict.fromkeys(score.name for run in runs for score in run.scores):
        table.add_row(title_of(name), *(_format(run.score(name)) for run in runs))
    for key, values in comparison.config.items():
        table.add_row(key, *map(str, values))
    print_table(console, table)
    for run in runs:
        reasons: dict[str, list[str]] = {}
        for score in run.scores:
            if score.obstacles:
                reasons.setdefault("; ".join(score.obstacles), []).append(title_of(score.name))
        for reason, titles in reasons.items():
            say(console, f"≠ {run.run}, {', '.join(titles)}: {reason}")


def _format(score: ComparedScore | None) -> str:
    if score is None:
        return ""
    return f"{score} ≠" if score.obstacles else str(score)
