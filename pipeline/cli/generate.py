"""Command `growgan generate`: write images of a run on one sheet, or one per file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.console import say, terminal
from pipeline.cli.options import Run, load_tensorflow, require_folder
from pipeline.errors import UserError

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ngrowgan generate runs/first --seeds 0-15 --out grid.png\n\n"
    "growgan generate runs/faces --seeds 0-999 --truncation 0.7 --files faces\n\n"
    "growgan generate runs/faces --seeds 0-5 --truncation -1,-0.5,0,0.5,1\n\n"
    "growgan generate runs/faces --seeds 0-3 --mix 4-9 --mix-layers 0-3"
)
def generate(
    run: Run,
    seeds: Annotated[str, typer.Option(help="Seeds, such as 3, 0-15 or 0-7,20.")] = "0-15",
    out: Annotated[
        Path | None, typer.Option(help="PNG file of the sheet. (default: grid.png)")
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write one file per image, such as FOLDER/seed-00000003.png."
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Class of all images, in a labelled run. (default: each class in turn)"),
    ] = None,
    truncation: Annotated[
        str,
        typer.Option(
            help="Factor on each style's distance from the mean; 1 changes nothing. Several, such "
            "as 0,0.5,1, make a sheet with one column each."
        ),
    ] = "1",
    truncated_layers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of layers to truncate, from the first. (default: all)"),
    ] = None,
    noise: Annotated[
        Literal["constant", "random", "none"],
        typer.Option(help="Noise of every layer: the same for all images, by seed, or none."),
    ] = "constant",
    mix: Annotated[
        str | None,
        typer.Option(
            metavar="SEEDS",
            help="Mix styles: make a sheet with a column for each of these seeds, whose styles "
            "replace those of --seeds in --mix-layers.",
        ),
    ] = None,
    mix_layers: Annotated[
        str | None, typer.Option(help="Layers for --mix, such as 0-3, the coarsest. (default: 0-3)")
    ] = None,
) -> None:
    """Draw one image per seed with the newest EMA generator of a run.

    Truncation, noise and mixing need a family with styles, such as `stylegan`.
    """
    from pipeline.generating.drawing import Drawing, draw_images, draw_sheet, require_drawable
    from pipeline.generating.seeds import parse_factors, parse_numbers
    from pipeline.training_run.folder import RunFolder

    if files is not None and out is not None:
        raise UserError(f"`--files` must come without `--out`. Received: {files} and {out}")
    if mix is None and mix_layers is not None:
        raise UserError(f"`--mix-layers` must come with `--mix`. Received: {mix_layers} alone")
    out = out or Path("grid.png")
    if out.suffix.lower() != ".png":
        raise UserError(f"`--out` must be a file that ends in .png. Received: {out}")
    # Make all checks before TensorFlow, which loads slowly.
    require_folder("--files" if files else "--out", files or out.parent)
    shares = parse_factors(truncation, "--truncation")
    mixed = [] if mix is None else parse_numbers(mix, "--mix")
    if truncated_layers is not None and shares == [1.0]:
        raise UserError(
            "`--truncated-layers` must come with `--truncation`. "
            f"Received: {truncated_layers}, with nothing truncated"
        )
    numbers = parse_numbers(seeds)
    layers = parse_numbers(mix_layers or "0-3", "--mix-layers")
    folder = RunFolder(run)
    drawing = Drawing(
        seeds=numbers,
        label=label,
        truncation=shares,
        truncated_layers=truncated_layers,
        noise=noise,
        mixed=mixed,
        mixed_layers=layers,
    )
    require_drawable(folder, drawing, single=files is not None)
    folder.newest_checkpoint()  # Fail before TensorFlow if the run has no checkpoint.
    load_tensorflow()
    from pipeline.data.grids import write_png

    replaced = ""
    if files is None:
        sheet = draw_sheet(folder, drawing)
        replaced = ", in place of what was there" if out.exists() else ""
        write_png(out, sheet)
    else:
        left = iter(drawing.seeds)  # Batches come in the order of the seeds.
        for images in draw_images(folder, drawing):
            for image in images:
                write_png(files / f"seed-{next(left):08d}.png", image)
    say(terminal(), f"{drawing.images} images in {files or out}{replaced}")
