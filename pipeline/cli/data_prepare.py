"""`growgan data prepare` and `growgan data verify`: prepared sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.next_commands import training
from pipeline.cli.options import load_tensorflow, require_folder, require_outside, terminal
from pipeline.cli.tables import counted, say

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
    source: Annotated[str, typer.Argument(help="Pictures: a folder, a zip, …")],
    out: Annotated[Path, typer.Argument(help="Folder of the prepared set.", show_default=False)],
    resolution: Annotated[
        int | None,
        typer.Option(
            help="Largest side in pixels; of a power of two each smaller one follows. With --width "
            "the height."
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            help="Width in pixels of rectangular images, which networks that do not grow can make. "
            "(default: squares)"
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help="A preset or YAML file, whose sections `data` and `schedule` stand for the other "
            "options. (default: none)",
        ),
    ] = None,
    channels: Annotated[int, typer.Option(help="1 for grey, 3 for RGB.")] = 3,
    crop: Annotated[
        Literal["center", "pad", "stretch", "none"],
        typer.Option(help="How pictures become square, or rectangles of --width."),
    ] = "center",
    filter: Annotated[
        Literal["lanczos", "box", "area"], typer.Option(help="What they are resized with.")
    ] = "lanczos",
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Store each picture a second time, mirrored.")
    ] = False,
    classes: Annotated[
        str | None, typer.Option(help='The classes to take, as cat,dog,"a, or b". (default: all)')
    ] = None,
    max_images: Annotated[
        int | None, typer.Option(help="Most pictures to take, a random choice. (default: all)")
    ] = None,
    val: Annotated[float, typer.Option(help="Share that is set apart and never trained on.")] = 0.0,
    format: Annotated[
        Literal["png", "jpeg", "raw"], typer.Option(help="How records hold pixels.")
    ] = "png",
    on_corrupt: Annotated[
        Literal["fail", "skip"], typer.Option(help="What a file that is no picture does.")
    ] = "fail",
    workers: Annotated[
        int | None, typer.Option(help="Processes that convert. (default: one a core)")
    ] = None,
    contract: Annotated[
        Path | None,
        typer.Option(
            help="Rules of `data check --write-contract`; nothing is written if one is broken."
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

    A preparation that is stopped goes on where it was when the command is repeated. The set is
    what `growgan train --data` takes.
    """
    from pipeline.cli.progress import reporter
    from pipeline.data.class_list import parse_classes
    from pipeline.data.prepare import prepare as prepare_set
    from pipeline.data.prepare import require_preparable, resolutions_to
    from pipeline.errors import UserError
    from pipeline.loading import data_config

    if config is not None:
        data, resolution, width = _configured(context, config, source)
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
            },
        )
    if resolution is None:
        raise UserError("no largest size is given: pass --resolution, or --config FILE")
    require_folder("OUT", out)
    require_outside(out, source)
    sizes = resolutions_to(resolution, width)
    require_preparable(data)
    console = terminal()
    if contract is not None:
        _enforce(console, contract, source, data.workers)
    load_tensorflow()
    progress, report = reporter(console, "preparing images")
    write = None if beam is None else _beam_writer(beam)
    with progress:
        records = prepare_set(data, sizes, out, report, write, width=width)
    held_out = f", {records.size('val')} set apart" if data.val else ""
    say(console, f"{records.count} images{held_out}, {len(records.skipped)} skipped, in {out}")
    if records.left_out:
        say(console, f"left out, as they are not read: {counted(records.left_out)}")
    shape = records.shape(max(records.resolutions))
    say(console, f"next: {training(out, shape, records.channels)}")


def _configured(
    context: typer.Context, config: str, source: str
) -> tuple[DataConfig, int, int | None]:
    """Return the section `data` of a configuration, its last resolution and its width.

    Raises:
        UserError: if it is wrong, or options are given beside it that it stands for.
    """
    from pipeline.errors import UserError
    from pipeline.loading import load

    beside = {"source", "out", "config", "contract", "beam"}
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in beside and _is_given(context, name)
    ]
    if given:
        raise UserError(f"`--config` must come without {', '.join(given)}, which it stands for")
    settings = load(config, data=source)
    return settings.data, settings.schedule.resolution, settings.schedule.width


def _is_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _enforce(console: Console, contract: Path, source: str, workers: int | None) -> None:
    from pipeline.cli.progress import reporter
    from pipeline.data.checking.contract import broken, read_contract
    from pipeline.data.checking.survey import survey
    from pipeline.errors import UserError

    rules = read_contract(contract)
    progress, report = reporter(console, f"checking {source}")
    with progress:
        found = survey(source, workers=workers, report=report)
    reasons = broken(rules[0], found, rules[1])
    if reasons:
        raise UserError(f"{source} breaks {contract}: {'; '.join(reasons)}")


def _beam_writer(options: str) -> Writer:
    import shlex

    from pipeline.errors import UserError

    try:
        from pipeline.data.beam import writer
    except ModuleNotFoundError as error:
        raise UserError(
            f"`--beam` needs the package {error.name}: pip install 'growgan[beam]'. "
            "Received: none installed"
        ) from error
    words = shlex.split(options)
    if not words or not words[0].startswith("--"):  # Beam passes over what it does not know.
        raise UserError(
            f"`--beam` must be options such as --runner=DirectRunner. Received: {options}"
        )
    return writer(words)


@app.command(epilog="Example: growgan data verify sets/photos")
def verify(folder: Annotated[Path, typer.Argument(help="Folder of a prepared set.")]) -> None:
    """Read every file of a prepared set and compare its checksum."""
    from pipeline.cli.progress import reporter
    from pipeline.data.records import open_records
    from pipeline.data.records import verify as verify_set

    console = terminal()
    progress, report = reporter(console, "reading files")
    records = open_records(folder)
    with progress:
        verify_set(records, report)
    say(console, f"{folder} is whole: {records.count} images")
