"""`growgan generate`: images of a run, on a sheet or one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.options import Run, load_tensorflow, terminal
from pipeline.cli.tables import say

app = typer.Typer()


@app.command(
    epilog="Examples: growgan generate runs/first --seeds 0-15 --out grid.png  |  "
    "growgan generate runs/faces --seeds 0-999 --truncation 0.7 --files faces  |  "
    "growgan generate runs/faces --seeds 0-5 --truncation -1,-0.5,0,0.5,1  |  "
    "growgan generate runs/faces --seeds 0-3 --mix 4-9 --mix-layers 0-3"
)
def generate(
    run: Run,
    seeds: Annotated[str, typer.Option(help="Such as 3, 0-15 or 0-7,20.")] = "0-15",
    out: Annotated[Path, typer.Option(help="PNG file to write, a sheet.")] = Path("grid.png"),
    files: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write FOLDER/seed-00000003.png and so on instead."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Class of every image, for a labelled run; else in turn.")
    ] = None,
    truncation: Annotated[
        str,
        typer.Option(
            help="How far styles are from their mean, 1 being untouched; several, as 0,0.5,1, make "
            "a sheet with a column for each."
        ),
    ] = "1",
    truncated_layers: Annotated[
        int | None, typer.Option(min=1, help="Truncate so many layers, the first. (default: all)")
    ] = None,
    noise: Annotated[
        Literal["constant", "random", "none"],
        typer.Option(help="Noise of every layer: the same for all images, by seed, or none."),
    ] = "constant",
    mix: Annotated[
        str | None,
        typer.Option(
            metavar="SEEDS",
            help="Make a sheet with a column for each of these seeds, whose styles the images of "
            "--seeds take in --mix-layers.",
        ),
    ] = None,
    mix_layers: Annotated[str, typer.Option(help="Such as 0-3, the coarsest.")] = "0-3",
) -> None:
    """Draw images, one a seed, with the newest average weights of a run.

    Truncation, noise and mixing are of families with styles.
    """
    load_tensorflow()
    from pipeline.generating.drawing import Drawing, images_of, sheet_of
    from pipeline.generating.seeds import parse_numbers, parse_shares
    from pipeline.grids import write_png
    from pipeline.run_folder import RunFolder

    drawing = Drawing(
        seeds=parse_numbers(seeds),
        label=label,
        truncation=parse_shares(truncation, "--truncation"),
        truncated_layers=truncated_layers,
        noise=noise,
        mixed=() if mix is None else parse_numbers(mix, "--mix"),
        mixed_layers=parse_numbers(mix_layers, "--mix-layers"),
    )
    folder = RunFolder(run)
    if files is None:
        write_png(out, sheet_of(folder, drawing))
    else:
        numbers = iter(drawing.seeds)
        for images in images_of(folder, drawing):
            for image in images:
                write_png(files / f"seed-{next(numbers):08d}.png", image)
    count = len(drawing.seeds)
    say(terminal(), f"{count} images in {files or out}")
