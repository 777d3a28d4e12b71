"""Commands `growgan pipeline init`, `run` and `up`: the pipeline, once or on a schedule."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pipeline.cli.next_commands import quoted
from pipeline.cli.options import Overrides, terminal
from pipeline.cli.tables import say

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.orchestration.project import Project
    from pipeline.orchestration.runs.failure import RunFailure

app = typer.Typer()
LOOK = 10.0
"""Seconds between two rounds of housekeeping after runs."""

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project.")]


@app.command(
    epilog="Example: growgan pipeline init faces --source /srv/incoming --preset progan-mnist32"
)
def init(
    folder: Folder,
    source: Annotated[
        list[str],
        typer.Option(help="Folder where pictures arrive; may be repeated."),
    ],
    preset: Annotated[str, typer.Option(help="Preset, or YAML file.")] = "quickstart",
    model: Annotated[
        str | None, typer.Option(help="Name of the model. (default: name of the folder)")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Write the folder of a project: pipeline.yaml, and dagster/dagster.yaml."""
    from pipeline.orchestration.template import write_project

    # Resolve relative paths against the current directory; later commands may run elsewhere.
    sources = [str(Path(each).resolve()) if Path(each).exists() else each for each in source]
    if preset.endswith((".yaml", ".yml")):
        preset = str(Path(preset).resolve())
    project = write_project(
        folder,
        model=model or folder.resolve().name,
        sources=sources,
        preset=preset,
        overrides=overrides or [],
    )
    console = terminal()
    say(console, f"written: {project.path / 'pipeline.yaml'}")
    _tell_of_no_gate(console, project)
    shown = quoted(str(folder))
    say(console, f"next: growgan pipeline run {shown}, or growgan pipeline up {shown}")


@app.command(epilog="Example: growgan pipeline run faces")
def run(folder: Folder) -> None:
    """Run the pipeline once on this machine, on the pictures in the sources now.

    Steps that are done for the same content are skipped. Exit status 0 if a version was promoted,
    now or before; otherwise that of the failed command: 2 for bad input, 3 for an alarm, 4 for the
    gate, 5 for verify, 75 if a retry may succeed. Ctrl-C saves a checkpoint; repeat the command to
    continue.
    """
    from pipeline.orchestration.project import open_project

    project = open_project(folder)
    with _dagster():
        from pipeline.exit_status import AGAIN
        from pipeline.orchestration.dagster.foreground import run_once
        from pipeline.orchestration.plan import Ended
        from pipeline.orchestration.runs.failure import RunFailure
        from savedmodels.locks import Busy, hold
    from pipeline.errors import UserError
    from pipeline.errors.system import may_pass

    console = terminal()
    _show_progress(console)
    if project.config.schedule.when_busy == "skip":
        try:
            with hold(project.run_lock, wait=False):
                pass
        except Busy:
            raise UserError(
                "a project has one run at a time, and `schedule.when_busy` is skip. Received: "
                f"{folder}, where a run is under way"
            ) from None
    try:
        run = run_once(project)
    except Exception as error:  # Of Dagster's databases, when they cannot be written.
        if not may_pass(error):
            raise
        reason = str(error).splitlines()[0]
        reason = f"Dagster's files must be writable: {reason}"
        _end_with(RunFailure(reason=reason, status=AGAIN))
    if isinstance(run, Ended):
        say(console, f"nothing to do: run {run.run} has promoted this already")
        _tell_of_labels(console, project)
        return
    if isinstance(run, RunFailure):
        _end_with(run)
    if failure := run.state.failure:
        _end_with(failure)
    published = run.plan.read_note("published")
    if published is None:
        reason = f"how a step ended could not be written down in {run.folder}"
        _end_with(RunFailure(reason=reason, status=AGAIN))
    say(console, f"promoted: version {published['version']} of {project.config.model}")
    _tell_of_no_gate(console, project)
    say(console, f"page: {run.folder / 'index.html'}")


@app.command(epilog="Example: growgan pipeline up faces")
def up(
    folder: Folder,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the user interface. (default: from the file)"),
    ] = None,
) -> None:
    """Start the user interface and the daemon on this machine, until Ctrl-C or SIGTERM.

    Runs then start on schedule and for new pictures, as pipeline.yaml says. Stopping saves the
    checkpoint of a running training, which continues at the next start, as does a killed one.
    """
    from pipeline.orchestration.project import open_project

    project = open_project(folder)
    with _dagster():
        from pipeline.orchestration.dagster.definitions import definitions_of
        from pipeline.orchestration.dagster.housekeeping import clean_up
        from pipeline.orchestration.dagster.instance import instance_of
        from pipeline.orchestration.dagster.processes import HOST, started
        from pipeline.orchestration.dagster.recovery import fail_orphaned_runs
        from savedmodels.locks import Busy, hold
    from pipeline.errors import UserError

    definitions_of(project)  # Else mistakes show only in Dagster's logs.
    console = terminal()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    at = project.config.port if port is None else port
    try:
        with hold(project.up_lock, wait=False), instance_of(project) as instance:
            for lost in fail_orphaned_runs(project, instance):
                say(console, f"run {lost} was lost, and is tried again")
            with started(project, at) as processes:
                say(console, f"user interface: http://{HOST}:{at}, logs: {project.logs}")
                look, told = time.monotonic(), set[str]()
                while not stopped.wait(0.5):
                    if time.monotonic() >= look:
                        look = time.monotonic() + LOOK
                        lines = [*clean_up(project, instance)]
                        for line in lines:
                            # Each line once, not at every round.
                            if line not in told:
                                say(console, line)
                        told = {*lines}
                    ended = processes.ended()
                    if ended is not None:
                        raise UserError(
                            "the user interface and the daemon must both keep running. Received: "
                            f"the end of the {ended}; see {project.logs / ended}.log"
                        )
                say(console, "stopping; a training saves its checkpoint first")
    except Busy:
        raise UserError(
            f"a project must be up only once. Received: {folder}, which is up already"
        ) from None


def _tell_of_labels(console: Console, project: Project) -> None:
    from pipeline.cli.outcome_tables import label_line
    from pipeline.orchestration.runs.status import label_statuses

    for label in label_statuses(project):
        say(console, label_line(label))


def _tell_of_no_gate(console: Console, project: Project) -> None:
    from pipeline.orchestration.steps.judging import why_not_judged

    if project.config.gate is None:
        say(console, f"note: {why_not_judged(project)}")


def _end_with(failure: RunFailure) -> NoReturn:
    print(f"growgan: {failure.reason}", file=sys.stderr)
    raise typer.Exit(failure.status)


@contextmanager
def _dagster() -> Iterator[None]:
    """Report a missing Dagster in one line, for imports in the block."""
    from pipeline.errors import UserError

    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"`growgan pipeline` needs the extra `schedule`. Missing: {error.name}"
        ) from None


def _show_progress(console: Console) -> None:
    """Show the lines of steps."""
    from pipeline.orchestration.dagster.assets import PROGRESS

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(console, record.getMessage())

    logger = logging.getLogger(PROGRESS)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Lines())
