"""Command `growgan compare`: print scores of several runs, and draw their FID curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import say, terminal
from pipeline.cli.options import Json

app = typer.Typer()


@app.command(epilog="Example: growgan compare runs/first runs/second --out compare.png")
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of the runs.", show_default=False)],
    out: Annotated[Path, typer.Option(help="PNG file for the curves.")] = Path("compare.png"),
    json: Json = False,
) -> None:
    """Compare runs by their newest evaluations, and draw their FID over images and over time.

    A score is marked ≠ and not drawn if its data, features or protocol differ from those of the
    first run with that score.
    """
    from pipeline.cli.score_tables import show_comparison
    from pipeline.evaluation.charts import as_png
    from pipeline.evaluation.comparison import compare as compare_runs
    from pipeline.evaluation.comparison import fid_charts, read_entrants
    from savedmodels.atomic import write_file

    entrants = read_entrants(runs)
    comparison, charts = compare_runs(entrants), fid_charts(entrants)
    if charts:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_file(out, as_png(charts))
    if json:
        typer.echo(comparison.model_dump_json(indent=2))
        return
    console = terminal()
    show_comparison(console, comparison)
    say(console, f"curves: {out}" if charts else "curves: none, as no run has an FID")
    for run in comparison.runs:
        # Explain why a curve has fewer points than its run has evaluations.
        if charts and run.drawn < run.evaluations:
            drawn = f"{run.drawn} of {run.evaluations} evaluations compare and are drawn"
            say(console, f"{run.run}: {drawn}")
