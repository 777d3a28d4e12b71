"""Commands `growgan pipeline status` and `history`: print a project's state and past runs."""

from __future__ import annotations

from json import dumps, loads
from typing import Annotated

import typer

from pipeline.cli.console import terminal
from pipeline.cli.options import Json, Project

app = typer.Typer()


@app.command(epilog="Example: growgan pipeline status faces")
def status(folder: Project, json: Json = False) -> None:
    """Show what runs now, how the last run ended, and which version each label serves."""
    from pipeline.cli.outcome_tables import show_status
    from pipeline.cli.publishing import repository_errors
    from pipeline.orchestration.project import open_project
    from pipeline.orchestration.runs.status import read_status

    project = open_project(folder)
    with repository_errors():
        found = read_status(project)
    if json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        show_status(terminal(), found)


@app.command(epilog="Example: growgan pipeline history faces --last 20")
def history(
    folder: Project,
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Show the N newest runs. (default: all)")
    ] = None,
    json: Json = False,
) -> None:
    """List runs, newest first, with their trigger, result and reason."""
    from pipeline.cli.outcome_tables import show_history
    from pipeline.orchestration.project import open_project
    from pipeline.orchestration.runs.outcome import history_of

    outcomes = history_of(open_project(folder).path)[::-1][:last]
    if json:
        values = [loads(outcome.model_dump_json()) for outcome in outcomes]
        typer.echo(dumps(values, indent=2))
    else:
        show_history(terminal(), outcomes)
