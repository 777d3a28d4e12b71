"""Command `growgan pipeline up`: run Dagster's web page and daemon until they are stopped."""

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
HOUSEKEEPING = 10.0  # Seconds between two rounds of housekeeping, which cleans up after runs.


@app.command(epilog="Example: growgan pipeline up faces")
def up(
    folder: Project,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port of the user interface. (default: from pipeline.yaml)"
        ),
    ] = None,
) -> None:
    """Start the user interface and the daemon on this machine, until Ctrl-C or SIGTERM.

    Runs then start on schedule and for new pictures, as set in pipeline.yaml. Stopping saves a
    checkpoint of the running training. The next start continues it, even after a kill.
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
    definitions_of(project)  # Fail here: mistakes would show only in Dagster's logs.
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
                next_round, printed = time.monotonic(), set[str]()
                # Poll: the end of a process must be noticed, not only a signal.
                while not stopped.wait(0.5):
                    if time.monotonic() >= next_round:
                        next_round = time.monotonic() + HOUSEKEEPING
                        lines = [*clean_up(project, instance)]
                        for line in lines:
                            # Print only lines that the previous round did not have.
                            if line not in printed:
                                say(console, line)
                        printed = {*lines}
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
