"""Command `growgan pipeline init`: write the folder of a project (docs/pipeline.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import say, terminal
from pipeline.cli.next_commands import quote
from pipeline.cli.options import Overrides, Project

app = typer.Typer()


@app.command(
    epilog="Example: growgan pipeline init faces --source /srv/incoming --preset progan-mnist32"
)
def init(
    folder: Project,
    source: Annotated[
        list[str],
        typer.Option(
            help="Folder where pictures arrive (repeatable), or one source as in `train --data`."
        ),
    ],
    preset: Annotated[
        str, typer.Option(help="Preset (see `growgan presets`), or YAML file.")
    ] = "quickstart",
    model: Annotated[
        str | None,
        typer.Option(help="Name of the model in the repository. (default: name of the folder)"),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Write a project into a new or empty folder: pipeline.yaml and dagster/dagster.yaml."""
    from pipeline.cli.outcome_tables import note_missing_gate
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
    note_missing_gate(console, project)
    shown = quote(str(folder))
    say(
        console,
        f"next: growgan pipeline run {shown} (once) or growgan pipeline up {shown} (until Ctrl-C)",
    )
