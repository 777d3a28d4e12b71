"""The command line `growgan`: the only place that parses arguments, prints or exits."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import Config
    from pipeline.data.records import RecordSet
    from pipeline.run_folder import RunFolder

# Heavy packages are imported inside the commands, so that help answers at once.

app = typer.Typer(
    name="growgan",
    help="Train progressively grown GANs and put every stage into TensorFlow Serving.",
    epilog="Example: growgan train --config quickstart --out runs/first",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Preset = Annotated[
    str, typer.Option("--config", "-c", help="A preset, or a YAML file that ends in .yaml.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one key; may be repeated."),
]
DataSource = Annotated[
    str | None,
    typer.Option("--data", help="A folder or zip of pictures, MNIST idx files, or digits."),
]
Run = Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)]


@app.command(
    epilog="Examples: growgan train --config quickstart --out runs/first  |  "
    "growgan train --config progan-mnist32 --data mnist/ --set run.seed=1 --out runs/mnist  |  "
    "growgan train --config quickstart --out runs/first --resume"
)
def train(
    config: Preset,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/run"),
    data: DataSource = None,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, if there is one.")
    ] = False,
) -> None:
    """Train a run through every stage, exporting a SavedModel after each.

    Ctrl-C or SIGTERM saves a checkpoint after the current step and exits with 130 or 143; the same
    command with --resume goes on from there. A second Ctrl-C exits at once.
    """
    from pipeline.loading import load
    from pipeline.run_folder import RunFolder

    settings = load(config, overrides or [], data=data)
    _load_tensorflow(settings.run.intra_op_threads)
    console = _console()
    run = RunFolder(out)
    records = _prepare(console, settings)
    run.start(settings, records, resume=resume)
    interrupted = _Interruption()
    finished = _train(console, run, settings, records, interrupted)
    if not finished:
        console.print(
            f"Stopped and saved. To go on, repeat the command with --resume (--out {out}).",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(128 + interrupted.signal)
    _print_results(console, run)


def _prepare(console: Console, settings: Config) -> RecordSet:
    from pipeline.console import reporter
    from pipeline.data.records import prepare
    from pipeline.errors import UserError

    if settings.data.source is None:
        raise UserError("pictures must be named with --data or `data.source`. Received: neither")
    progress, report = reporter(console, "preparing images")
    with progress:
        records = prepare(settings.data, settings.schedule.build().resolutions, report)
    console.print(f"{records.count} images in {records.folder}", highlight=False, soft_wrap=True)
    if records.skipped:
        names = ", ".join(skipped.name for skipped in records.skipped[:5])
        console.print(f"{len(records.skipped)} skipped as unreadable: {names}", highlight=False)
    return records


def _train(
    console: Console,
    run: RunFolder,
    settings: Config,
    records: RecordSet,
    interrupted: _Interruption,
) -> bool:
    """Train to the end or the interruption; whether the end was reached."""
    from pipeline.console import TrainingDisplay
    from pipeline.training import checkpoints
    from pipeline.training.monitors import (
        JsonLines,
        SampleImages,
        SampleSheets,
        StageExports,
        TensorBoard,
    )
    from pipeline.training.trainer import Trainer

    schedule = settings.schedule.build()
    saved = checkpoints.all_in(run.path)
    samples = SampleImages(settings, len(records.classes) if settings.data.labels else 0)

    def exported(folder: Path) -> None:
        exports = run.manifest()["exports"]
        name = str(folder.relative_to(run.path))
        run.add_to_manifest(exports=[*(e for e in exports if e != name), name])

    with TrainingDisplay(console, settings) as display:
        listeners = [
            display,
            JsonLines(run.metrics, saved[-1].position.images_seen if saved else 0),
            SampleSheets(run.samples, samples),
            TensorBoard(run.tensorboard, settings, records, samples),
            StageExports(
                run.savedmodels,
                lambda moment: run.export_lineage(moment.images_seen),
                exported,
            ),
        ]
        position = Trainer(settings, records, run.path, listeners).train(interrupted)
    run.add_to_manifest(images_seen=position.images_seen, seconds=round(position.seconds, 1))
    return position.images_seen >= schedule.total_images


def _print_results(console: Console, run: RunFolder) -> None:
    newest = run.path / run.manifest()["exports"][-1]
    sheets = sorted(run.samples.glob("*.png"))
    lines = {
        "picture grid": sheets[-1] if sheets else run.samples,
        "SavedModel": newest,
        "TensorBoard": run.tensorboard,
        "next": f"growgan generate {run.path} --seeds 0-15 --out grid.png",
    }
    for name, value in lines.items():
        console.print(f"{name:>12}: {value}", highlight=False, soft_wrap=True)


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
    _load_tensorflow()
    from pipeline.generating import generate_images, parse_seeds
    from pipeline.run_folder import RunFolder
    from pipeline.training.grids import tile, write_png

    numbers = parse_seeds(seeds)
    images = generate_images(RunFolder(run), numbers, label=label)
    write_png(out, tile(images))
    _console().print(f"{len(numbers)} images in {out}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: growgan export runs/first")
def export(
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the model, gets a version. [default: in the run]"),
    ] = None,
) -> None:
    """Write the newest average weights of a run as a SavedModel; an existing version is kept."""
    _load_tensorflow()
    from pipeline.run_folder import RunFolder
    from savedmodels.export import export as export_model

    folder = RunFolder(run)
    checkpoint = folder.newest_checkpoint()
    images_seen = checkpoint.position.images_seen
    model = folder.average(checkpoint)
    _, height, width, _ = model.output_shape
    base = out or folder.savedmodels / f"{height}x{width}"
    written = export_model(model, base, images_seen, lineage=folder.export_lineage(images_seen))
    _console().print(f"SavedModel: {written}", highlight=False, soft_wrap=True)


@app.command(epilog="Example: growgan presets")
def presets() -> None:
    """List the presets, each with its first line."""
    from pipeline.loading import preset_names, preset_text

    for name in preset_names():
        typer.echo(f"{name:<20} {preset_text(name).splitlines()[0].lstrip('# ')}")


@app.command(
    epilog="Examples: growgan config quickstart  |  "
    "growgan config mine.yaml --set schedule.resolution=64"
)
def config(
    name: Annotated[str, typer.Argument(help="A preset or a YAML file.")],
    overrides: Overrides = None,
) -> None:
    """Check a configuration and print it whole, with every default, as YAML."""
    import yaml

    from pipeline.loading import load

    settings = load(name, overrides or [])
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), nl=False)


class _Interruption:
    """True once Ctrl-C or SIGTERM has come; a second signal has its usual effect."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, _: Any) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)

    def __call__(self) -> bool:
        return bool(self.signal)


def _load_tensorflow(intra_op_threads: int | None = None) -> None:
    """Import TensorFlow without the lines that it writes before any log setting counts."""
    standard_error, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        import tensorflow as tf
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nothing)
    if intra_op_threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(intra_op_threads)


def _console() -> Console:
    from rich.console import Console

    return Console()


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit status 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    from pipeline.errors import UserError

    try:
        app()
    except UserError as error:
        message = str(error)
    except OSError as error:  # A full disk, or a place that cannot be read or written.
        message = f"a file could not be read or written: {error}"
    else:
        return
    print(f"growgan: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
