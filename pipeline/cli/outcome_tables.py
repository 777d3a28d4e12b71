"""Print a project for `growgan pipeline`: its status, run history and labels."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from pipeline.cli.console import say
from pipeline.cli.tables import new_table, print_table
from pipeline.orchestration.project import LABEL, Project
from pipeline.orchestration.runs.outcome import (
    Ending,
    Outcome,
    consequence_of,
    format_duration,
    format_score,
)
from pipeline.orchestration.runs.status import LabelStatus, ProjectStatus, label_statuses
from pipeline.orchestration.steps.judging import why_not_judged

COLOURS: dict[Ending, str] = {
    "promoted": "green",
    "unchanged": "dim",
    "gate failed": "red",
    "alarm": "red",
    "rolled back": "red",
    "failed": "red",
    "interrupted": "yellow",
}


def show_status(console: Console, status: ProjectStatus) -> None:
    """Print the status of a project: the current run, the last run, each label and more."""
    say(console, f"model: {status.model}, in {status.repository}")
    say(console, f"up: {'yes' if status.up else 'no, so nothing starts by itself'}")
    for trigger, reason in status.trigger_errors.items():
        say(console, f"{trigger}: starts nothing: {reason}")
    now, last = status.now, status.last
    if now is None:
        say(console, "now: nothing runs")
    else:
        at = now.step or "the end"
        since = f"{now.state.started:%Y-%m-%d %H:%M} UTC"
        by = now.state.trigger
        say(console, f"now: {now.run}, at {at}; started by: {by}, {since}")
    if last is None:
        say(console, "last: no run has ended yet")
    else:
        ended = f"{last.ended:%Y-%m-%d %H:%M} UTC"
        say(console, f"last: {last.run}, {last.verdict}, {ended}: {last.reason}")
        # The label may have been moved by hand since the run.
        version = {label.label: label.version for label in status.labels}.get(LABEL)
        moved = f"`{LABEL}` was moved since then" if version != last.serving else None
        say(console, f"      {moved or consequence_of(last)}")
    if status.as_promoted:
        say(console, "pictures: those of the run that was promoted last")
    elif status.new:
        start = f"{status.least} start a run" if status.least else "none starts a run by itself"
        say(console, f"pictures: {status.new} at most are new; {start}")
    if status.not_judged:
        say(console, f"gate: {status.not_judged}")
    for label in status.labels:
        say(console, _label_line(label))
    if not status.labels:
        say(console, "stable: serves nothing yet")


def show_history(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print a line for each run, in the order given."""
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
            (evaluation and format_score(evaluation)) or "",
            format_duration(each.seconds),
            each.reason,
        )
    print_table(console, table)


def show_labels(console: Console, project: Project) -> None:
    """Print a line for each label of a project."""
    for label in label_statuses(project):
        say(console, _label_line(label))


def note_missing_gate(console: Console, project: Project) -> None:
    """Print a note if the project has no gate, so every trained model would be promoted."""
    if project.config.gate is None:
        say(console, f"note: {why_not_judged(project)}")


def _label_line(status: LabelStatus) -> str:
    serves = f"version {status.version}" if status.version else "nothing yet"
    if not status.there:
        serves += ", whose folder is gone from the repository: publish it again, or roll back"
    waits = f", waits for version {status.waits_for}" if status.waits_for else ""
    return f"{status.label}: serves {serves}{waits}"
