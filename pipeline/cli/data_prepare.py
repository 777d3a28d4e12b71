"""Command `growgan data prepare`: write pictures as a prepared set, for many runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.console import progress, say, terminal
from pipeline.cli.next_commands import training_command
from pipeline.cli.options import (
    Crop,
    OnCorrupt,
    load_tensorflow,
    needs_extra,
    parse_classes,
    require_folder,
    require_outside,
)
from pipeline.cli.tables import join_counts
from pipeline.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import DataConfig
    from pipeline.data.prepare import Writer

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ngrowgan data prepare photos/ sets/photos --resolution 64\n\n"
    "growgan data prepare mnist/ sets/mnist --resolution 32 --channels 1 --crop pad\n\n"
    "growgan data prepare cifar10.zip sets/cats --resolution 32 --classes cat,dog --val 0.1"
)
def prepare(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(help="Pictures: a folder, zip, or other source of docs/data.md.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the prepared set.", show_default=False)],
    resolution: Annotated[
        int | None,
        typer.Option(
            help="Largest side in pixels; with a power of two, smaller ones down to 4 are written "
            "as well. With --width, the height."
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            help="Width in pixels of rectangular images, for networks that do not grow. (default: "
            "square images)"
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help="Preset or YAML file; its sections `data` and `schedule` replace the other "
            "options. (default: none)",
        ),
    ] = None,
    channels: Annotated[int, typer.Option(help="Channels: 1 for grey, 3 for RGB.")] = 3,
    crop: Crop = "center",
    filter: Annotated[
        Literal["lanczos", "box", "area"], typer.Option(help="Filter for resizing.")
    ] = "lanczos",
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Also store a mirrored copy of each picture.")
    ] = False,
    classes: Annotated[
        str | None, typer.Option(help='Classes to use, such as cat,dog,"a, or b". (default: all)')
    ] = None,
    max_images: Annotated[
        int | None,
        typer.Option(help="Maximum number of pictures, chosen at random. (default: all)"),
    ] = None,
    val: Annotated[
        float, typer.Option(help="Share of the pictures (0 to 1) to hold out from training.")
    ] = 0.0,
    format: Annotated[
        Literal["png", "jpeg", "raw"], typer.Option(help="Encoding of the pixels in records.")
    ] = "png",
    on_corrupt: OnCorrupt = "fail",
    workers: Annotated[
        int | None, typer.Option(help="Processes that convert pictures. (default: one per core)")
    ] = None,
    contract: Annotated[
        Path | None,
        typer.Option(
            help="Rules from `data check --write-contract`; writes nothing if one is broken."
        ),
    ] = None,
    beam: Annotated[
        str | None,
        typer.Option(
            metavar="OPTIONS",
            help="Write as an Apache Beam pipeline with these options, such as "
            "'--runner=DirectRunner'; its workers must see SOURCE and OUT.",
        ),
    ] = None,
) -> None:
    """Write pictures as records of every resolution, once, for many runs.

    Repeat the command to continue a stopped preparation. Pass the set to `growgan train --data`.
    """
    from pipeline.data.preparation import resolutions_to
    from pipeline.data.prepare import prepare as prepare_set
    from pipeline.data.prepare import require_preparable
    from pipeline.loading import data_config

    if config is not None:
        data, resolution, width = _read_config(context, config, source)
    else:
        data = data_config(
            {
                "source": source,
                "channels": channels,
                "crop": crop,
                "filter": filter,
                "mirrored_copies": mirror,
                "classes": None if classes is None else parse_classes(classes),
                "max_images": max_images,
                "val": val,
                "format": format,
                "on_corrupt": on_corrupt,
                "workers": workers,
            }
        )
    if resolution is None:
        raise UserError("no largest size is given: pass --resolution, or --config FILE")
    require_folder("OUT", out)
    require_outside(out, source)
    sizes = resolutions_to(resolution, width)
    require_preparable(data)  # Check all that needs no picture.
    console = terminal()
    if contract is not None:
        # Check before the preparation, so that a broken contract writes nothing.
        _require_contract(console, contract, source, data.workers)
    load_tensorflow()
    write = None if beam is None else _beam_writer(beam)
    with progress(console, "preparing images") as report:
        records = prepare_set(data, sizes, out, report, write, width=width)
    held_out = f", {records.size('val')} set apart" if data.val else ""
    say(console, f"{records.count} images{held_out}, {len(records.skipped)} skipped, in {out}")
    if records.left_out:
        say(console, f"left out, as they are not read: {join_counts(records.left_out)}")
    shape = records.shape(max(records.resolutions))
    say(console, f"next: {training_command(out, shape, records.channels)}")


def _read_config(
    context: typer.Context, config: str, source: str
) -> tuple[DataConfig, int, int | None]:
    """Return the section `data` of a configuration, its final resolution and its width."""
    from pipeline.loading import load

    beside = {"source", "out", "config", "contract", "beam"}
    # Ask where each value came from: a user may pass an option with its default value.
    sources = {name: context.get_parameter_source(name) for name in context.params.keys() - beside}
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if (origin := sources.get(name)) is not None and origin.name == "COMMANDLINE"
    ]
    if given:
        raise UserError(f"`--config` must come without {', '.join(given)}, which it replaces")
    settings = load(config, data=source)
    return settings.data, settings.schedule.resolution, settings.schedule.width


def _require_contract(console: Console, contract: Path, source: str, workers: int | None) -> None:
    from pipeline.data.checking.contract_file import read_contract
    from pipeline.data.checking.survey import survey

    rules, reference = read_contract(contract)
    with progress(console, f"checking {source}") as report:
        found = survey(source, workers=workers, report=report)
    if reasons := rules.broken_by(found, reference):
        raise UserError(f"{source} breaks {contract}: {'; '.join(reasons)}")


def _beam_writer(options: str) -> Writer:
    with needs_extra("`--beam`", "beam"):
        from pipeline.data.beam import writer
    words = shlex.split(options)
    if not words or not words[0].startswith("--"):  # Beam would ignore other words.
        raise UserError(
            f"`--beam` must be options such as --runner=DirectRunner. Received: {options}"
        )
    return writer(words)
