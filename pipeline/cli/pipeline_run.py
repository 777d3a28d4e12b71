"""Command `growgan pipeline run`: run a project's pipeline once, without the daemon."""

from __future__ import annotations

import logging

import typer
from rich.console import Console

from pipeline import exit_status
from pipeline.cli.console import fail, say, terminal
from pipeline.cli.options import Project, needs_extra
from pipeline.errors import UserError

app = typer.Typer()


@app.command(epilog="Example: growgan pipeline run faces")
def run(folder: Project) -> None:
    """Run the pipeline once on this machine, on the pictures that the sources hold now.

    Steps already done for the same content are skipped. Exit status 0 if a version was promoted,
    now or by an earlier run; otherwise the status of the failed step: 2 for bad input, 3 for an
    alarm, 4 for the gate, 5 for verify, 75 if a retry may succeed. Ctrl-C saves a checkpoint;
    repeat the command to continue.
    """
    from pipeline.cli.outcome_tables import note_missing_gate, show_labels
    from pipeline.errors.system import may_pass
    from pipeline.orchestration.project import open_project

    project = open_project(folder)
    with needs_extra("`growgan pipeline`", "schedule"):
        from pipeline.orchestration.dagster.foreground import run_once
        from pipeline.orchestration.plan import Ended
        from pipeline.orchestration.runs.failure import RunFailure
        from savedmodels.locks import is_held

    console = terminal()
    _show_progress(console)
    # Only test the lock; the steps take it themselves.
    if project.config.schedule.when_busy == "skip" and is_held(project.run_lock):
        raise UserError(
            "a project has one run at a time, and `schedule.when_busy` is skip. Received: "
            f"{folder}, where a run is under way"
        )
    try:
        run = run_once(project)
    except Exception as error:  # Dagster raises its own errors for databases.
        if not may_pass(error):
            raise
        line = str(error).splitlines()[0]
        fail(f"Dagster's files must be writable: {line}", exit_status.AGAIN)
    if isinstance(run, Ended):
        say(console, f"nothing to do: run {run.run} has promoted this already")
        show_labels(console, project)
        return
    if isinstance(run, RunFailure):
        fail(run.reason, run.status)
    if failure := run.state.failure:
        fail(failure.reason, failure.status)
    published = run.plan.read_note("published")
    if published is None:
        # Ask for a retry: the disk may have been full.
        reason = f"how a step ended could not be written down in {run.folder}"
        fail(reason, exit_status.AGAIN)
    say(console, f"promoted: version {published['version']} of {project.config.model}")
    note_missing_gate(console, project)
    say(console, f"page: {run.folder / 'index.html'}")


def _show_progress(console: Console) -> None:
    """Print the lines that steps log."""
    from pipeline.orchestration.dagster.assets import PROGRESS

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(console, record.getMessage())

    logger = logging.getLogger(PROGRESS)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Lines())
