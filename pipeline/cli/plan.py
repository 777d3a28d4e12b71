"""Checks of `growgan train` before training: memory, and time and memory in `--dry-run`."""

from __future__ import annotations

import math
from functools import partial

from rich.console import Console

from pipeline.cli.console import say, terminal
from pipeline.cli.options import load_tensorflow
from pipeline.cli.tables import new_table, print_table
from pipeline.config import Config
from pipeline.data.prepare import classes_of
from pipeline.training.preflight.estimate import (
    GIB,
    RunEstimate,
    estimate_run,
    estimates,
    require_fit,
)
from pipeline.training.preflight.process_share import share_and_memory

SECONDS = 3.0  # Seconds of real training steps in a dry run.


def check_memory(config: Config, started: int | None) -> None:
    """Refuse a run if one of its phases does not fit into memory, or its replicas cannot share.

    Args:
        config: Configuration of the run.
        started: Number of workers that `--workers` starts on this machine; None without it.
    """
    share, free = share_and_memory(config, started)
    require_fit(share, _plan(share, free), free)


def dry_run(config: Config, started: int | None) -> None:
    """Print time and memory of each phase, measured on the largest one; writes nothing.

    Args:
        config: Configuration of the run.
        started: Number of workers that `--workers` starts on this machine; None without it.
    """
    share, free = share_and_memory(config, started)
    console = terminal()
    if share.run.strategy == "tpu":  # Estimate only: real steps could take the TPU from others.
        plan = _plan(share, free)
    else:
        say(console, "making real steps of the largest phase")
        plan = _plan(share, free, seconds=SECONDS)
    _show(console, plan)
    if plan.measured is not None:
        name = plan.largest.phase.name
        [guess] = [e for e in estimates(share, _label_size(share)) if e.phase.name == name]
        say(
            console,
            f"measured: {name}, {plan.largest.memory / GIB:.2f} GiB (estimated "
            f"{guess.memory / GIB:.2f}), {plan.measured.step_seconds:.3g} s a step, "
            f"{plan.measured.first_seconds:.1f} s to its first; the rest is in proportion",
        )
    if free < math.inf:
        say(console, f"free: {free / GIB:.1f} GiB")
    require_fit(share, plan, free)  # Fail after the table, which shows the phase that is too large.


def _plan(config: Config, free: float, seconds: float | None = None) -> RunEstimate:
    # Real steps run in a child process, which must load TensorFlow as quietly as this one.
    prepare = partial(load_tensorflow, config.run.intra_op_threads)
    return estimate_run(config, _label_size(config), free=free, seconds=seconds, prepare=prepare)


def _label_size(config: Config) -> int:
    # Only read the names of classes: a dry run prepares no images.
    return len(classes_of(config.data)) if config.data.labels else 0


def _show(console: Console, plan: RunEstimate) -> None:
    table = new_table("phase", "images", "steps", "G weights", "D weights", "memory", "time")
    for each in plan.phases:
        table.add_row(
            each.phase.name,
            f"{each.phase.images:,}",
            f"{each.steps:,}",
            *map(_count, each.work.parameters),
            f"{each.memory / GIB:.2f} GiB",
            _duration(each.seconds),
        )
    images = sum(each.phase.images for each in plan.phases)
    steps = sum(each.steps for each in plan.phases)
    seconds = sum(each.seconds for each in plan.phases)
    table.add_row("in all", f"{images:,}", f"{steps:,}", "", "", "", _duration(seconds))
    print_table(console, table)


def _count(number: int) -> str:
    return f"{number:,}" if number < 1e6 else f"{number / 1e6:.2f} M"


def _duration(seconds: float) -> str:
    """Format seconds in a readable unit: `40 s`, `12 min`, `5.5 h`, `30 days`."""
    for unit, length, least in (("days", 86400, 2), ("h", 3600, 2), ("min", 60, 1.5)):
        if seconds >= least * length:
            count = seconds / length
            return f"{count:.1f} {unit}" if count < 10 else f"{count:,.0f} {unit}"
    return f"{seconds:.0f} s"
