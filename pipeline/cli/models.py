"""`growgan generate` and `growgan export`: what is done with the models of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Run, load_tensorflow, terminal

app = typer.Typer()


@app.command(epilog="Example: growgan generate runs/first --seeds 0-15 --out grid.png")
def generate(
    run: Run,
    seeds: Annotated[str, typer.Option(help="Such as 3, 0-15 or 0-7,20.")] = "0-15",
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("grid.png"),
    label: Annotated[
        str | None, typer.Option(help="Class of every image, for a labelled run; else in turn.")
    ] = None,
) -> None:
    """Draw a grid of images, one a seed, with the newest average weights of a run."""
    load_tensorflow()
    from pipeline.generating import generate_images, parse_seeds
    from pipeline.grids import tile, write_png
    from pipeline.run_folder import RunFolder

    numbers = parse_seeds(seeds)
    images = generate_images(RunFolder(run), numbers, label=label)
    write_png(out, tile(images))
    terminal().print(f"{len(numbers)} images in {out}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: growgan export runs/first")
def export(
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the model, gets a version. (default: in the run)"),
    ] = None,
) -> None:
    """Write the newest average weights of a run as a SavedModel; an existing version is kept."""
    load_tensorflow()
    from pipeline.run_folder import RunFolder
    from savedmodels.export import export as export_model

    folder = RunFolder(run)
    checkpoint = folder.newest_checkpoint()
    position = checkpoint.position
    lineage = folder.export_lineage(position.images_seen, position.roll_backs)
    model = folder.average(checkpoint)
    _, height, width, _ = model.output_shape
    base = out or folder.savedmodels / f"{height}x{width}"
    written = export_model(model, base, position.images_seen, lineage=lineage)
    terminal().print(f"SavedModel: {written}", highlight=False, soft_wrap=True)
