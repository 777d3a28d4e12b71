"""Command `growgan features train`: train a classifier whose features scores such as FID use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import progress, say, terminal
from pipeline.cli.interruption import Interruption
from pipeline.cli.next_commands import quote
from pipeline.cli.options import Crop, OnCorrupt, load_tensorflow, require_folder, require_new
from pipeline.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.data.records import RecordSet

app = typer.Typer(no_args_is_help=True)

DEFAULT_RESOLUTION = 32  # Side in pixels; also the limit when a prepared set chooses it.


@app.callback()
def features() -> None:
    """Train feature networks for scores such as FID."""


@app.command(
    epilog="Examples:\n\ngrowgan features train --data mnist/ --crop pad --channels 1 "
    "--out features/mnist\n\n"
    "growgan features train --data sets/flowers --resolution 64 --out features/flowers"
)
def train(
    data: Annotated[
        str, typer.Option(help="Labelled pictures: a folder, zip, or other source of docs/data.md.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the classifier.")],
    resolution: Annotated[
        int | None,
        typer.Option(
            help="Side in pixels, a power of two from 8. (default: 32, or the largest of a "
            "prepared set up to that)"
        ),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="Channels: 1 for grey, 3 for RGB. (default: 3, or the set's)")
    ] = None,
    crop: Crop = "center",
    on_corrupt: OnCorrupt = "fail",
    records: Annotated[Path, typer.Option(help="Folder for prepared sets.")] = Path("records"),
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passes over the pictures. (default: 4 to 40, by number of pictures)"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the weights.")] = 0,
) -> None:
    """Train a small classifier on labelled pictures, for scores without a published network.

    The folder appears once training is done. The same pictures and seed give the same weights.
    """
    Interruption()
    require_new(out)
    require_folder("--out", out)
    console = terminal()
    how = {"crop": crop, "on_corrupt": on_corrupt, "records": records}
    prepared, side = prepare_training_set(console, data, resolution, channels, how)
    import tensorflow as tf  # `load_tensorflow` has imported it quietly.

    from pipeline.evaluation.features.classifier_training import (
        load_classifier_data,
        train_classifier,
    )

    examples = load_classifier_data(prepared, side)
    say(
        console,
        f"{len(prepared.classes)} classes, {len(examples.training.labels)} images of {side} px to "
        f"train on and {len(examples.held_out.labels)} held out",
    )

    def epoch_done(done: int, total: int, accuracy: float) -> None:
        say(console, f"epoch {done}/{total}: accuracy {accuracy:.4f}")

    tf.config.experimental.enable_op_determinism()  # GPUs are not deterministic by default.
    with progress(console, "training") as report:
        manifest = train_classifier(
            examples,
            out,
            seed=seed,
            epochs=epochs,
            # In a log, one line per epoch is enough.
            report=report if console.is_terminal else None,
            epoch_done=epoch_done,
        )
    say(
        console,
        f"accuracy {manifest.accuracy:.4f} on {manifest.held_out} held-out images; its features "
        f"are named {quote(f'classifier:{out}')}",
    )


def prepare_training_set(
    console: Console,
    data: str,
    resolution: int | None,
    channels: int | None,
    how: Mapping[str, object],
) -> tuple[RecordSet, int]:
    """Prepare or open the training set; returns it and the side to train at, in pixels."""
    from pipeline.data.preparation import resolutions_to
    from pipeline.data.prepare import records_for, require_preparable
    from pipeline.data.records import is_prepared, open_records
    from pipeline.loading import data_config
    from pipeline.shape import is_power_of_two

    if resolution is not None and (resolution < 8 or not is_power_of_two(resolution)):
        raise UserError(
            "`--resolution` of a classifier must be a power of two from 8 to 1024. "
            f"Received: {resolution}"
        )
    folder = Path(data).expanduser()
    if is_prepared(folder):
        opened = open_records(folder)
        small = [size for size in opened.resolutions if size <= DEFAULT_RESOLUTION]
        usual = max(small, default=opened.resolutions[0])
        channels = channels or opened.channels
        wanted = resolutions_to(resolution or usual)[-1:]
    else:
        wanted = resolutions_to(resolution or DEFAULT_RESOLUTION)
    settings = data_config({"source": data, "channels": channels or 3, **how})
    require_preparable(settings)
    load_tensorflow()
    with progress(console, "preparing images") as report:
        return records_for(settings, wanted, report), wanted[-1]
