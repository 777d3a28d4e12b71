"""Command `growgan import`: make a run from published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import say, terminal
from pipeline.cli.next_commands import generation_command
from pipeline.cli.options import DataSource, Overrides, load_tensorflow, require_new
from pipeline.errors import UserError

app = typer.Typer()


@app.command(
    "import",
    epilog="Examples:\n\n"
    "growgan import karras2018iclr-celebahq-1024x1024.pkl --out runs/celebahq\n\n"
    "growgan import network.pkl --out runs/faces --data faces/ --set run.keep_checkpoints=5",
)
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="Pickle with a ProGAN, StyleGAN or StyleGAN2 network of NVIDIA's TensorFlow code.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="New folder of the run.")],
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help="Preset, or YAML file that ends in .yaml, for further training. (default: "
            "settings of the official code)",
        ),
    ] = None,
    data: DataSource = None,
    overrides: Overrides = None,
) -> None:
    """Make a run from published weights; nothing in the file is executed.

    The new run generates, exports and evaluates like any other. Training continues at the
    resolution and fade of the weights, with fresh optimizers.
    """
    if not file.is_file():
        raise UserError(f"`FILE` must be a file of published weights. Received: {file}, no file")
    require_new(out)
    load_tensorflow()
    from pipeline.interop.importing import import_weights

    run = import_weights(file, out, config=config, overrides=overrides or (), data=data)
    position = run.newest_checkpoint().position
    phase = run.config().schedule.build().phases[position.phase]
    lines = {
        "run": f"{run.path}, {phase.name} at {position.images_seen} images",
        "next": generation_command(run.path),
    }
    for name, value in lines.items():
        say(terminal(), f"{name:>5}: {value}")
