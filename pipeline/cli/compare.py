"""`growgan compare`: runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import terminal
from pipeline.cli.tables import say

app = typer.Typer()


@app.command(epilog="Example: growgan compare runs/first runs/second --out compare.png")
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", show_default=False)],
    out: Annotated[Path, typer.Option(help="PNG file of the curves.")] = Path("compare.png"),
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON for machines in place of the table.")
    ] = False,
) -> None:
    """Compare runs by their newest evaluations, and draw their FID over images and over time.

    A score that does not compare with that of the first run that has it, for other data, features
    or another protocol, is marked ≠ and not drawn.
    """
    from pipeline.cli.score_tables import show_comparison
    from pipeline.evaluation.charts import as_png
    from pipeline.evaluation.comparison import charts_of, entrants_of
    from pipeline.evaluation.comparison import compare as compare_runs
    from savedmodels.atomic import write_file

    entrants = entrants_of(runs)
    comparison, charts = compare_runs(entrants), charts_of(entrants)
    if charts:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_file(out, as_png(charts))
    if json:
        typer.echo(comparison.model_dump_json(indent=2))
        return
    console = terminal()
    show_comparison(console, comparison)
    written = f"curves: {out}" if charts else "curves: none, as no run has an FID"
    say(console, written)
    for run in comparison.runs:
        if charts and run.drawn < run.evaluations:
            text = f"{run.run}: {run.drawn} of {run.evaluations} evaluations compare and are drawn"
            say(console, text)
