"""`growgan pipeline job`: how a step runs a command on Kubernetes."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.interruption import Interruption
from pipeline.cli.options import terminal
from pipeline.cli.tables import say

app = typer.Typer()


@app.command(hidden=True)
def job(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project.")],
    name: Annotated[str, typer.Argument(help="Of the Job.")],
    command: Annotated[list[str], typer.Argument(help="Words after `growgan`.")],
    settings: Annotated[
        Path | None, typer.Option(help="What a run has kept. (default: pipeline.yaml as it is)")
    ] = None,
) -> None:
    """Run `growgan COMMAND` as a Job, by `training.kubernetes` of a project, to its end.

    The exit status is that of the pod that ended it, or 75 if that may be different another time.
    Ctrl-C or SIGTERM removes the Job, whose pods save a checkpoint first.
    """
    Interruption()
    from pipeline.errors import UserError
    from pipeline.orchestration.kubernetes.job import job_of
    from pipeline.orchestration.kubernetes.job_runner import run_job
    from pipeline.orchestration.kubernetes.kubectl import Kubectl
    from pipeline.orchestration.project import open_project

    project = open_project(folder, settings and settings.resolve())
    given = project.config.training
    if given.kubernetes is None:
        raise UserError(
            f"`growgan pipeline job` needs `training.kubernetes`. Received: {folder}, without it"
        )
    console = terminal()
    end = run_job(
        Kubectl(given.kubernetes),
        job_of(given.kubernetes, name, command, project.path, given.workers or 1),
        partial(say, console),
        given.kubernetes.wait_seconds,
    )
    if end.error_text:
        print(end.error_text, file=sys.stderr)
    raise typer.Exit(end.status)
