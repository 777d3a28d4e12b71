"""Commands `growgan presets` (list presets) and `growgan config` (check and print one)."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Overrides

app = typer.Typer()


@app.command(epilog="Example: growgan presets")
def presets() -> None:
    """List the presets, each with a description."""
    from pipeline.loading import preset_names, preset_text

    for name in preset_names():
        typer.echo(f"{name:<20} {preset_text(name).splitlines()[0].lstrip('# ')}")


@app.command(
    epilog="Examples:\n\ngrowgan config quickstart\n\n"
    "growgan config mine.yaml --set schedule.resolution=64"
)
def config(
    name: Annotated[str, typer.Argument(help="A preset or a YAML file.")],
    overrides: Overrides = None,
) -> None:
    """Check a configuration, and print it as YAML with every default."""
    import yaml

    from pipeline.loading import load

    settings = load(name, overrides or [])
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), nl=False)
