"""Hidden command `growgan pipeline job`, with which a step runs its command on Kubernetes."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import say, terminal
from pipeline.cli.interruption import Interruption
from pipeline.cli.options import Project
from pipeline.errors import UserError

app = typer.Typer()


@app.command(hidden=True)
def job(
    folder: Project,
    name: Annotated[str, typer.Argument(help="Name of the Kubernetes Job.")],
    command: Annotated[list[str], typer.Argument(help="Words of COMMAND, without `growgan`.")],
    settings: Annotated[
        Path | None, typer.Option(help="Settings file of a run. (default: pipeline.yaml)")
    ] = None,
) -> None:
    """Run `growgan COMMAND` as a Kubernetes Job of a project until it ends.

    The exit status is the status of the pod that ended the Job, or 75 if a retry may succeed.
    Ctrl-C or SIGTERM removes the Job; its pods save a checkpoint first.
    """
    Interruption()
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
