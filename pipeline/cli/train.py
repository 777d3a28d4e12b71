"""Command `growgan train`: its options, and all checks before training."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.interruption import Interruption, parse_time_limit
from pipeline.cli.options import DataSource, Overrides, Preset, load_tensorflow, require_folder
from pipeline.cli.worker_processes import start_workers

app = typer.Typer()


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
            help="Continue the run in --out: no (never), if it exists (auto), or fail if it does "
            "not (must)."
        ),
    ] = "never",
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Start a new run from the newest weights of RUN, at their resolution.",
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Save and exit with status 75 before this much time has passed, such as 90s, "
            "30m, 1h30m or 1:30:00. (default: no limit)",
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
            help="Number of worker processes to start on this machine; with TF_CONFIG set, this "
            "process is one of them. (default: as in `run.strategy`)",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print memory and time of each phase, measured on the largest one; write nothing.",
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
    # Before the slow imports: the time limit counts from here, and signals already exit cleanly.
    began = time.monotonic()
    interruption = Interruption()
    from pipeline.interop.transfer import origin_of
    from pipeline.loading import is_chosen, load
    from pipeline.training.loop.profiling import Profile, Steps
    from pipeline.training.loop.stopping import StopAfterStage, TimeLimit
    from pipeline.training_run.folder import RunFolder

    if workers is not None:
        overrides = [*(overrides or []), "run.strategy=multi_worker"]  # Later overrides win.
    settings = load(config, overrides or [], data=data)
    run = RunFolder(out)
    deadline = (
        None if time_limit is None else TimeLimit(parse_time_limit(time_limit), started=began)
    )
    trace = None if profile is None else Profile(run.profile, Steps.parse(profile))
    stage_end = None if until is None else StopAfterStage(until, settings.schedule.build())
    first_weights = None if source is None else origin_of(RunFolder(source), settings)
    if not dry_run:  # A dry run writes nothing.
        require_folder("--out", out)
        run.require_startable(resume)
    # With TF_CONFIG this process is one of the workers itself.
    if workers is not None and not (dry_run or os.environ.get("TF_CONFIG")):
        raise typer.Exit(start_workers(settings, workers))
    # Block signals while workers connect: TensorFlow would take SIGTERM for itself.
    with interruption.held() if settings.run.strategy == "multi_worker" else nullcontext():
        # Guess channels only for a new run; an existing one keeps its own.
        if not (is_chosen(config, overrides or [], "data.channels") or run.exists()):
            # Import inside the block: NumPy's threads too must have signals blocked.
            from pipeline.data.checking.grey_presets import require_grey_pictures

            require_grey_pictures(config, settings.data)
        load_tensorflow(settings.run.intra_op_threads)
        from pipeline.cli import plan
        from pipeline.training.distributed.replicas import make_logical_devices, make_strategy

        if dry_run:
            plan.dry_run(settings, workers)
            return
        # Fail before anything is written, and before this process takes a GPU.
        plan.check_memory(settings, workers)
        make_logical_devices(settings.run)  # Before the first computation.
        strategy = make_strategy(settings)
    from pipeline.cli.training_process import train_here

    status = train_here(
        run,
        settings,
        strategy,
        interruption,
        resume=resume,
        first_weights=first_weights,
        deadline=deadline,
        trace=trace,
        stage_end=stage_end,
        until=until,
    )
    raise typer.Exit(status)
