"""Command `growgan train`: train a run, alone or with several workers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline import exit_status
from pipeline.cli.interruption import Interruption, seconds_of
from pipeline.cli.next_commands import generation, quoted
from pipeline.cli.options import (
    DataSource,
    Overrides,
    Preset,
    load_tensorflow,
    require_folder,
    terminal,
)
from pipeline.cli.tables import counted, say
from pipeline.cli.worker_processes import run_workers
from pipeline.training.distributed.cluster import cluster_of, require_shares, share_of_worker

if TYPE_CHECKING:
    import tensorflow as tf
    from rich.console import Console

    from pipeline.config import Config, DataConfig
    from pipeline.data.records import RecordSet
    from pipeline.run_folder import RunFolder
    from pipeline.training.distributed.workers import Workers
    from pipeline.training.loop.listeners import Listener
    from pipeline.training.loop.profiling import Profile
    from pipeline.training.loop.stopping import StopAfterStage, TimeLimit

app = typer.Typer()

STAGE_END = 1
"""Status that workers exchange at `--until-resolution`; other reasons to stop are larger."""


@app.command(
    epilog="Examples:\n\ngrowgan train --config quickstart --out runs/first\n\n"
    "growgan train --config progan-mnist32 --data mnist/ --set run.seed=1 --out runs/mnist\n\n"
    "growgan train --config quickstart --out runs/first --resume auto --time-limit 2h\n\n"
    "growgan train --config progan-celebahq1024 --dry-run"
)
def train(
    config: Preset,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/run"),
    data: DataSource = None,
    overrides: Overrides = None,
    resume: Annotated[
        Literal["never", "auto", "must"],
        typer.Option(
            help="Continue the run in --out: if there is one (auto), or fail without one (must)."
        ),
    ] = "never",
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Start from the newest weights of another run, at their resolution.",
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Save and exit with status 75 before this time is over: 90s, 30m, 1h30m, "
            "1:30:00. (default: none)",
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(
            "--until-resolution",
            metavar="PIXELS",
            help="Stop with status 0 at the end of this resolution's stage. (default: the last "
            "stage)",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of worker processes; started here, unless TF_CONFIG names them. (default: "
            "as in `run.strategy`)",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print memory and time of each phase, by real steps of the largest; writes "
            "nothing.",
        ),
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST,LAST",
            help="Steps to trace for TensorBoard, counted from 1, such as 10,20. (default: none)",
        ),
    ] = None,
) -> None:
    """Train a run through every stage, exporting a SavedModel after each.

    Ctrl-C, SIGTERM or SIGHUP saves a checkpoint after the current step and exits with status 130,
    143 or 129, a time limit with 75. Repeat the command with --resume auto to continue bit for bit.
    A second signal exits at once, and loses the steps since the last checkpoint.
    """
    began = time.monotonic()
    interruption = Interruption()
    from pipeline.interop.transfer import origin_of
    from pipeline.loading import is_chosen, load
    from pipeline.run_folder import RunFolder
    from pipeline.training.loop.profiling import Profile, Steps
    from pipeline.training.loop.stopping import StopAfterStage

    if workers is not None:
        overrides = [*(overrides or []), "run.strategy=multi_worker"]
    settings = load(config, overrides or [], data=data)
    seconds = None if time_limit is None else seconds_of(time_limit)
    steps = None if profile is None else Steps.parse(profile)
    stage_end = None if until is None else StopAfterStage(until, settings.schedule.build())
    first_weights = None if source is None else origin_of(RunFolder(source), settings)
    if not dry_run:
        require_folder("--out", out)
        RunFolder(out).require_startable(resume)
    if workers is not None and not (dry_run or os.environ.get("TF_CONFIG")):
        require_shares(settings, workers)  # Fail here, before each worker does so.
        command = [sys.executable, "-m", "pipeline.cli", *sys.argv[1:]]
        raise typer.Exit(run_workers(command, workers))
    several = settings.run.strategy == "multi_worker"
    with interruption.held() if several else nullcontext():
        if not (is_chosen(config, overrides or [], "data.channels") or RunFolder(out).exists()):
            _require_grey_pictures(config, settings.data)  # NumPy starts threads too.
        load_tensorflow(settings.run.intra_op_threads)
        from pipeline.cli import plan
        from pipeline.interop.transfer import write_first_checkpoint
        from pipeline.training.distributed.replicas import (
            gpus_here,
            make_logical_devices,
            make_strategy,
            replicas_here,
        )
        from pipeline.training.distributed.workers import Workers
        from pipeline.training.loop.stopping import TimeLimit

        own, sharing, count = settings, 1, 1
        if several:
            count, sharing = _workers_in_all_and_here(workers)
            own = share_of_worker(settings, count, gpus_here())
        if settings.run.strategy != "tpu":  # The number of TPU cores is not known yet.
            require_shares(settings, count * replicas_here(settings.run))
        if dry_run:
            plan.dry_run(terminal(), own, sharing)
            return
        # Fail before anything is written, and before this process takes a GPU.
        plan.check_memory(own, sharing)
        make_logical_devices(settings.run)
        strategy = make_strategy(settings)
    together = Workers(strategy)
    console = terminal(quiet=not together.chief)
    run = RunFolder(out)
    deadline, traced = None, None
    if together.chief:  # Only the chief does work beside steps that takes long.
        deadline = None if seconds is None else TimeLimit(seconds, started=began)
        traced = None if steps is None else Profile(run.profile, steps)
    stop = _Stop(together, interruption, deadline, stage_end if together.chief else None)
    with together.unless_one_ends():
        with together.chief_first():
            records = _prepare(console, settings)
        if together.chief:
            run.start(settings, records, resume=resume, first_weights=first_weights)
            write_first_checkpoint(run, len(records.classes) if settings.data.labels else 0)
        # From here on the loop asks for signals, and saves a checkpoint before it ends.
        interruption.only_note()
        if together.chief:
            watchers: list[Listener] = [each for each in (deadline, traced, stage_end) if each]
            with run.alone("trained"), traced or nullcontext():
                images_seen = _train(console, run, settings, records, strategy, watchers, stop)
        else:
            images_seen = _assist(run, settings, records, strategy, stop)
    if traced:
        say(console, _about(traced, run))
    total = settings.schedule.build().total_images
    if images_seen < total and stop.status == STAGE_END:
        say(console, f"The stage of {until} px is finished: {images_seen} of {total} images.")
        return
    if images_seen < total:
        say(console, f"Stopped after {images_seen} of {total} images; they are saved.")
        say(console, f"To go on, repeat the command with --resume auto (--out {quoted(str(out))}).")
        raise typer.Exit(stop.status)
    say(console, f"The run is finished: {images_seen} images.")
    if together.chief:
        _print_results(console, run)


class _Stop:
    """Stop condition shared by all workers: if one stops, all do, with one exit status."""

    def __init__(
        self,
        together: Workers,
        interruption: Interruption,
        deadline: TimeLimit | None,
        stage_end: StopAfterStage | None,
    ) -> None:
        self._together = together
        self._interruption = interruption
        self._deadline = deadline
        self._stage_end = stage_end
        self.status = 0

    def __call__(self) -> bool:
        mine = self._interruption.status if self._interruption() else 0
        if not mine and self._deadline is not None and self._deadline():
            mine = exit_status.AGAIN
        if not mine and self._stage_end is not None and self._stage_end():
            mine = STAGE_END
        # All workers must stop at the same step, or collectives wait for ever.
        self.status = max(self._together.numbers(mine))
        return bool(self.status)


def _require_grey_pictures(preset: str, data: DataConfig) -> None:
    """Refuse pictures in colour that a grey preset would turn grey without the user's wish."""
    from pipeline.data.checking.measurement import is_in_colour
    from pipeline.data.records import is_prepared
    from pipeline.data.sources import open_source
    from pipeline.errors import UserError

    if data.channels == 3 or data.source is None or is_prepared(Path(data.source).expanduser()):
        return
    if is_in_colour(open_source(data.source)):
        raise UserError(
            f"the preset {preset} is for grey pictures, but {data.source} is in colour: pass "
            "`--set data.channels=3` to keep colours, or `--set data.channels=1` to make them grey"
        )


def _workers_in_all_and_here(started: int | None) -> tuple[int, int]:
    if started is not None and not os.environ.get("TF_CONFIG"):
        return started, started
    cluster = cluster_of(os.environ)
    return len(cluster.addresses), cluster.here


def _prepare(console: Console, settings: Config) -> RecordSet:
    from pipeline.cli.progress import reporter
    from pipeline.data.prepare import records_for

    progress, report = reporter(console, "preparing images")
    with progress:
        records = records_for(
            settings.data,
            settings.schedule.build().resolutions,
            report,
            width=settings.schedule.width,
        )
    say(console, f"{records.count} images in {records.folder}")
    if records.left_out:
        say(console, f"left out, as they are not read: {counted(records.left_out)}")
    if records.skipped:
        names = ", ".join(skipped.name for skipped in records.skipped[:5])
        say(console, f"{len(records.skipped)} skipped as unreadable: {names}")
    return records


def _train(
    console: Console,
    run: RunFolder,
    settings: Config,
    records: RecordSet,
    strategy: tf.distribute.Strategy,
    watchers: Sequence[Listener],
    stop: Callable[[], bool],
) -> int:
    """Train until the end or a stop, and return the images seen."""
    from pipeline.cli.starvation import ExitOnStarvation
    from pipeline.cli.training_display import TrainingDisplay
    from pipeline.evaluation.in_training import FidInTraining
    from pipeline.evaluation.rollback import RemoveEvaluations
    from pipeline.training.loop.recorders import (
        JsonLines,
        SampleSheets,
        StageExports,
        TensorBoard,
    )
    from pipeline.training.loop.trainer import Trainer
    from pipeline.training.synthesis.task import Synthesis

    def exported(folder: Path) -> None:
        exports = run.manifest()["exports"]
        name = str(folder.relative_to(run.path))
        run.add_to_manifest(exports=[*(e for e in exports if e != name), name])

    def withdrawn(folder: Path) -> None:
        name = str(folder.relative_to(run.path))
        run.add_to_manifest(exports=[e for e in run.manifest()["exports"] if e != name])

    with TrainingDisplay(console, settings) as display:
        listeners = [
            display,
            JsonLines(run.metrics),
            SampleSheets(run.samples, settings.schedule.resolution),
            TensorBoard(run.tensorboard, settings),
            StageExports(
                run.savedmodels,
                lambda moment: run.export_lineage(moment.images_seen, moment.roll_backs),
                exported,
                withdrawn,
            ),
            RemoveEvaluations(run),
            ExitOnStarvation(),
            *watchers,
        ]
        score = None
        if settings.evaluation.fid_every_images:
            score = FidInTraining(settings, records, lambda line: say(console, f"note: {line}"))
        task = Synthesis(settings, records, strategy)
        trainer = Trainer(settings, task, run.path, listeners, strategy, score)
        position = trainer.train(stop)
    run.add_to_manifest(images_seen=position.images_seen, seconds=round(trainer.seconds, 1))
    return position.images_seen


def _assist(
    run: RunFolder,
    settings: Config,
    records: RecordSet,
    strategy: tf.distribute.Strategy,
    stop: Callable[[], bool],
) -> int:
    """Train a worker's share without writing anything, and return the images seen."""
    from pipeline.cli.starvation import ExitOnStarvation
    from pipeline.training.loop.trainer import Trainer
    from pipeline.training.synthesis.task import Synthesis

    task = Synthesis(settings, records, strategy)
    trainer = Trainer(settings, task, run.path, [ExitOnStarvation()], strategy)
    return trainer.train(stop).images_seen


def _about(traced: Profile, run: RunFolder) -> str:
    if not traced.written:
        return "No step was traced: the run had fewer steps than `--profile` names."
    shown = quoted(str(run.path))
    return f"A trace is in {run.profile}: tensorboard --logdir {shown}, with its profile plugin."


def _print_results(console: Console, run: RunFolder) -> None:
    newest = run.path / run.manifest()["exports"][-1]
    sheets = sorted(run.samples.glob("*.png"))
    lines = {
        "picture grid": sheets[-1] if sheets else run.samples,
        "SavedModel": newest,
        "TensorBoard": run.tensorboard,
        "next": generation(run.path),
    }
    for name, value in lines.items():
        say(console, f"{name:>12}: {value}")
