"""`growgan train`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import DataSource, Overrides, Preset, load_tensorflow, terminal

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import Config
    from pipeline.data.records import RecordSet
    from pipeline.run_folder import RunFolder

app = typer.Typer()


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
    load_tensorflow(settings.run.intra_op_threads)
    console = terminal()
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
    from pipeline.cli.progress import reporter
    from pipeline.data.prepare import records_for
    from pipeline.errors import UserError

    if settings.data.source is None:
        raise UserError("pictures must be named with --data or `data.source`. Received: neither")
    progress, report = reporter(console, "preparing images")
    with progress:
        records = records_for(settings.data, settings.schedule.build().resolutions, report)
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
