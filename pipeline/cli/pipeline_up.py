"""Command `growgan pipeline up`: the user interface and the daemon, until they are stopped."""

from __future__ import annotations

import signal
import threading
import time
from typing import Annotated

import typer

from pipeline.cli.console import say, terminal
from pipeline.cli.options import Project, needs_extra
from pipeline.errors import UserError

app = typer.Typer()
LOOK = 10.0
"""Seconds between two rounds of housekeeping after runs."""


@app.command(epilog="Example: growgan pipeline up faces")
def up(
    folder: Project,
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
    with needs_extra("`growgan pipeline`", "schedule"):
        from pipeline.orchestration.dagster.definitions import definitions_of
        from pipeline.orchestration.dagster.housekeeping import clean_up
        from pipeline.orchestration.dagster.instance import instance_of
        from pipeline.orchestration.dagster.processes import HOST, start_processes
        from pipeline.orchestration.dagster.recovery import fail_orphaned_runs
        from savedmodels.locks import Busy, hold
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
            with start_processes(project, at) as processes:
                say(console, f"user interface: http://{HOST}:{at}, logs: {project.logs}")
                look, told = time.monotonic(), set[str]()
                # Not for ever: the end of a process must show too.
                while not stopped.wait(0.5):
                    if time.monotonic() >= look:
                        look = time.monotonic() + LOOK
                        lines = [*clean_up(project, instance)]
                        for line in lines:
                            # Each line once, not at every round.
                            if line not in told:
                                say(console, line)
                        told = {*lines}
                    ended = processes.find_ended()
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
