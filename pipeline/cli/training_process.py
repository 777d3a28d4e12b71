"""Train a run in this process, alone or as one of several workers, until its end or a stop."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pipeline.cli.console import say, terminal
from pipeline.cli.interruption import Interruption
from pipeline.cli.next_commands import generation_command, quote
from pipeline.cli.preparing import prepare_records
from pipeline.cli.trainers import train_as_chief, train_as_worker
from pipeline.config import Config
from pipeline.interop.transfer import write_first_checkpoint
from pipeline.training.distributed.workers import Workers
from pipeline.training.loop.joint_stop import STAGE_END, JointStop
from pipeline.training.loop.profiling import Profile
from pipeline.training.loop.stopping import StopAfterStage, TimeLimit
from pipeline.training_run.folder import Resume, RunFolder

if TYPE_CHECKING:
    import tensorflow as tf


def train_here(
    run: RunFolder,
    settings: Config,
    strategy: tf.distribute.Strategy,
    interruption: Interruption,
    *,
    resume: Resume,
    first_weights: Mapping[str, Any] | None,
    deadline: TimeLimit | None,
    trace: Profile | None,
    stage_end: StopAfterStage | None,
    until: int | None,
) -> int:
    """Prepare the images, train, and print the result.

    Args:
        run: Run to train.
        settings: Configuration of the whole run, not of this worker's share.
        strategy: Strategy with the devices of all workers.
        interruption: Handler of the signals to this process.
        resume: Value of `--resume`: refuse, continue or require an existing run.
        first_weights: Origin of a new run's weights; None for random weights.
        deadline: Time limit; None for none.
        trace: Profiler of some steps; None for none.
        stage_end: Condition to stop after a stage; None to train all.
        until: Resolution of the stage that `stage_end` stops after.

    Returns:
        Exit status: 0 at the end of the run or stage, else the status of the reason to stop.
    """
    workers = Workers(strategy)
    console = terminal(quiet=not workers.chief)  # Only one worker, the chief, prints.
    # Only the chief saves checkpoints, so only it knows how long saving takes.
    watchers = [each for each in (deadline, trace, stage_end) if each and workers.chief]
    limits = (deadline, stage_end) if workers.chief else (None, None)
    stop = JointStop(workers, lambda: interruption.status, *limits)
    with workers.unless_one_ends():
        with workers.chief_first():  # The others find what the chief has prepared.
            records = prepare_records(console, settings)
        if workers.chief:
            # Start after the preparation, so that bad pictures leave no run behind.
            run.start(settings, records, resume=resume, first_weights=first_weights)
            write_first_checkpoint(run, len(records.classes) if settings.data.labels else 0)
        # From here on a signal only sets a status; the loop polls it and saves a checkpoint.
        interruption.only_note()
        if workers.chief:
            with run.alone("trained"), trace or nullcontext():
                images_seen = train_as_chief(
                    console, run, settings, records, strategy, watchers, stop
                )
        else:
            images_seen = train_as_worker(run, settings, records, strategy, stop)
    if trace and workers.chief:
        say(console, _trace_line(trace, run))
    total = settings.schedule.build().total_images
    if images_seen < total and stop.status == STAGE_END:
        say(console, f"The stage of {until} px is finished: {images_seen} of {total} images.")
        return 0
    if images_seen < total:
        say(console, f"Stopped after {images_seen} of {total} images; they are saved.")
        out = quote(str(run.path))
        say(console, f"To go on, repeat the command with --resume auto (--out {out}).")
        return stop.status
    say(console, f"The run is finished: {images_seen} images.")
    if workers.chief:
        _print_results(console, run)
    return 0


def _trace_line(trace: Profile, run: RunFolder) -> str:
    if not trace.written:
        return "No step was traced: the run had fewer steps than `--profile` names."
    shown = quote(str(run.path))
    return f"A trace is in {run.profile}: tensorboard --logdir {shown}, with its profile plugin."


def _print_results(console: Console, run: RunFolder) -> None:
    newest = run.path / run.manifest()["exports"][-1]
    sheets = sorted(run.samples.glob("*.png"))
    lines = {
        "picture grid": sheets[-1] if sheets else run.samples,
        "SavedModel": newest,
        "TensorBoard": run.tensorboard,
        "next": generation_command(run.path),
    }
    for name, value in lines.items():
        say(console, f"{name:>12}: {value}")
