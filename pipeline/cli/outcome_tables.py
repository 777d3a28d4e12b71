"""Print runs of the pipeline, and the status of a project."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from pipeline.cli.tables import new_table, print_table, say
from pipeline.orchestration.outcome import (
    Ending,
    Outcome,
    consequence_of,
    duration_text,
    score_text,
)
from pipeline.orchestration.project import LABEL
from pipeline.orchestration.standing import LabelStanding, ProjectStanding

COLOURS: dict[Ending, str] = {
    "promoted": "green",
    "unchanged": "dim",
    "gate failed": "red",
    "alarm": "red",
    "rolled back": "red",
    "failed": "red",
    "interrupted": "yellow",
}


def show_standing(console: Console, standing: ProjectStanding) -> None:
    """Print the present run, the end of the last run, and the served versions."""
    say(console, f"model: {standing.model}, in {standing.repository}")
    say(console, f"up: {'yes' if standing.up else 'no, so nothing starts by itself'}")
    for trigger, reason in standing.complaints.items():
        say(console, f"{trigger}: starts nothing: {reason}")
    now, last = standing.now, standing.last
    if now is None:
        say(console, "now: nothing runs")
    else:
        at = now.step or "the end"
        since = f"{now.begun.started:%Y-%m-%d %H:%M} UTC"
        by = now.begun.trigger
        say(console, f"now: {now.run}, at {at}; started by: {by}, {since}")
    if last is None:
        say(console, "last: no run has ended yet")
    else:
        ended = f"{last.ended:%Y-%m-%d %H:%M} UTC"
        say(console, f"last: {last.run}, {last.verdict}, {ended}: {last.reason}")
        stands = {label.label: label.version for label in standing.labels}.get(LABEL)
        # A later promotion makes the run's own consequence obsolete.
        moved = f"`{LABEL}` was moved since then" if stands != last.serving else None
        say(console, f"      {moved or consequence_of(last)}")
    if standing.as_promoted:
        say(console, "pictures: those of the run that was promoted last")
    elif standing.new:
        start = f"{standing.least} start a run" if standing.least else "none starts a run by itself"
        say(console, f"pictures: {standing.new} at most are new; {start}")
    if standing.not_judged:
        say(console, f"gate: {standing.not_judged}")
    for label in standing.labels:
        say(console, label_line(label))
    if not standing.labels:
        say(console, "stable: serves nothing yet")


def show_history(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print one line per run, in the given order."""
    if not outcomes:
        say(console, "no run has ended yet")
        return
    table = new_table(
        "began, UTC", "verdict", "version", "trigger", "pictures", "new", "score", "time", "reason",
        words=("verdict", "trigger", "score", "reason"),
    )  # fmt: skip
    for each in outcomes:
        snapshot, evaluation = each.snapshot, each.evaluation
        table.add_row(
            f"{each.started:%Y-%m-%d %H:%M}",
            Text(each.verdict, COLOURS[each.verdict]),
            str(each.version or ""),
            each.trigger,
            f"{snapshot.images:,}" if snapshot else "",
            f"{snapshot.new:,}" if snapshot else "",
            (evaluation and score_text(evaluation)) or "",
            duration_text(each.seconds),
            each.reason,
        )
    print_table(console, table)


def label_line(standing: LabelStanding) -> str:
    """Describe the version of a label in one line."""
    serves = f"version {standing.version}" if standing.version else "nothing yet"
    if not standing.there:
        serves += ", whose folder is gone from the repository: publish it again, or roll back"
    waits = f", waits for version {standing.waits_for}" if standing.waits_for else ""
    return f"{standing.label}: serves {serves}{waits}"
