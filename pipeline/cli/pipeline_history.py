"""Commands `growgan pipeline status` and `history`: state and past runs of a project."""

from __future__ import annotations

from json import dumps, loads
from typing import Annotated

import typer

from pipeline.cli.options import terminal
from pipeline.cli.pipeline_project import Folder

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command(epilog="Example: growgan pipeline status faces")
def status(folder: Folder, json: Json = False) -> None:
    """Show the present run, the end of the last run, and the version of each label."""
    from pipeline.cli.outcome_tables import show_standing
    from pipeline.cli.publishing import refusals
    from pipeline.orchestration.project import open_project
    from pipeline.orchestration.standing import standing_of

    project = open_project(folder)
    with refusals():
        standing = standing_of(project)
    if json:
        typer.echo(standing.model_dump_json(indent=2))
    else:
        show_standing(terminal(), standing)


@app.command(epilog="Example: growgan pipeline history faces --last 20")
def history(
    folder: Folder,
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Show the N newest runs. (default: all)")
    ] = None,
    json: Json = False,
) -> None:
    """List runs, newest first, with their trigger, result and reason."""
    from pipeline.cli.outcome_tables import show_history
    from pipeline.orchestration.outcome import history_of
    from pipeline.orchestration.project import open_project

    outcomes = history_of(open_project(folder).path)[::-1][:last]
    if json:
        values = [loads(outcome.model_dump_json()) for outcome in outcomes]
        typer.echo(dumps(values, indent=2))
    else:
        show_history(terminal(), outcomes)
