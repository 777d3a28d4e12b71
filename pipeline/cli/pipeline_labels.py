"""Commands `growgan pipeline promote` and `rollback`: choose a project's served version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import terminal
from pipeline.cli.options import Project

app = typer.Typer()


@app.command(epilog="Example: growgan pipeline promote faces 3")
def promote(
    folder: Project,
    version: Annotated[int, typer.Argument(min=1, help="Version in the repository to promote.")],
    force: Annotated[
        bool, typer.Option("--force", help="Promote the version even if the gate failed it.")
    ] = False,
) -> None:
    """Move `stable` to a version, once the project's servers have loaded it.

    Exit status 4 if the gate failed the version, 75 if the label still waits for servers (then
    repeat the command).
    """
    _move(folder, version=version, force=force)


@app.command(epilog="Example: growgan pipeline rollback faces")
def rollback(folder: Project) -> None:
    """Move `stable` back to its previous version, once the project's servers have loaded it.

    Exit status 75 if the label still waits for servers (then repeat the command).
    """
    _move(folder, rollback=True)


def _move(
    folder: Path, *, version: int | None = None, rollback: bool = False, force: bool = False
) -> None:
    from pipeline.cli.publishing import change, repository_errors
    from pipeline.evaluation.publication import about
    from pipeline.orchestration.plan import run_behind
    from pipeline.orchestration.project import LABEL, open_project
    from savedmodels.repository.versions import lineage_of

    project = open_project(folder)
    with repository_errors():
        gate = None
        run = None if version is None else run_behind(project, version)
        if run is not None:  # The gate may have decided again since.
            saved = project.repository.folder_of(project.config.model) / str(version)
            gate = about(run, (lineage_of(saved) or {}).get("images_seen")).gate
        change(
            terminal(),
            project.repository,
            project.config.model,
            label=LABEL,
            version=version,
            rollback=rollback,
            gate=gate,
            force=force,
            watchers=project.watchers,
            served_at=project.config.repository.served_at,
        )
