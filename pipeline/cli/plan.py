"""Check that a run fits into memory, and show time and memory in a dry run."""

from __future__ import annotations

import math
from functools import partial

from rich.console import Console
from rich.table import Table

from pipeline.cli.options import load_tensorflow
from pipeline.cli.tables import say
from pipeline.config import Config
from pipeline.data.prepare import classes_of
from pipeline.training.preflight.estimate import GIB, Plan, estimates, plan_of, require_fit
from pipeline.training.preflight.free_memory import free_memory

SECONDS = 3.0
"""Seconds for which a dry run trains real steps."""
COLUMNS = ("phase", "images", "steps", "G weights", "D weights", "memory", "time")


def check_memory(config: Config, sharing: int) -> None:
    """Refuse a run if one of its phases does not fit into memory.

    Args:
        config: Configuration of the run, or of a worker's share.
        sharing: Number of processes that share the free memory.

    Raises:
        UserError: if a phase does not fit.
    """
    free = _free(config, sharing)
    require_fit(config, _plan(config, free), free)


def dry_run(console: Console, config: Config, sharing: int) -> None:
    """Print time and memory of each phase, by real steps of the largest; writes nothing.

    For a TPU it prints estimates only, because steps would run on this machine.

    Args:
        console: Console to write to.
        config: Configuration of the run, or of a worker's share.
        sharing: Number of processes that share the free memory.

    Raises:
        UserError: if a phase does not fit.
    """
    free = _free(config, sharing)
    if config.run.strategy == "tpu":
        plan = _plan(config, free)
    else:
        say(console, "making real steps of the largest phase")
        plan = _plan(config, free, seconds=SECONDS)
    _show(console, plan)
    if plan.measured is not None:
        name = plan.largest.phase.name
        [guess] = [e for e in estimates(config, _label_size(config)) if e.phase.name == name]
        say(
            console,
            f"measured: {name}, {plan.largest.memory / GIB:.2f} GiB (estimated "
            f"{guess.memory / GIB:.2f}), {plan.measured.step_seconds:.3g} s a step, "
            f"{plan.measured.first_seconds:.1f} s to its first; the rest is in proportion",
        )
    if free < math.inf:
        say(console, f"free: {free / GIB:.1f} GiB")
    require_fit(config, plan, free)


def _plan(config: Config, free: float, seconds: float | None = None) -> Plan:
    prepare = partial(load_tensorflow, config.run.intra_op_threads)
    return plan_of(config, _label_size(config), free=free, seconds=seconds, prepare=prepare)


def _free(config: Config, sharing: int) -> float:
    if config.run.memory_gib is not None:
        return config.run.memory_gib * GIB
    # The memory of a TPU is unknown here.
    found = None if config.run.strategy == "tpu" else free_memory()
    # Unknown memory must not refuse a run.
    return math.inf if found is None else found / sharing


def _label_size(config: Config) -> int:
    return len(classes_of(config.data)) if config.data.labels else 0


def _show(console: Console, plan: Plan) -> None:
    """Print one row per phase, and their sum."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for each in plan.phases:
        table.add_row(
            each.phase.name,
            f"{each.phase.images:,}",
            f"{each.steps:,}",
            *map(_count, each.work.parameters),
            f"{each.memory / GIB:.2f} GiB",
            _duration(each.seconds),
        )
    table.add_row(
        "in all",
        f"{sum(each.phase.images for each in plan.phases):,}",
        f"{sum(each.steps for each in plan.phases):,}",
        *("", "", ""),
        _duration(sum(each.seconds for each in plan.phases)),
    )
    console.print(table)


def _count(number: int) -> str:
    return f"{number:,}" if number < 1e6 else f"{number / 1e6:.2f} M"


def _duration(seconds: float) -> str:
    """Format seconds to two or three digits: `40 s`, `12 min`, `5.5 h`, `30 days`."""
    for unit, length, least in (("days", 86400, 2), ("h", 3600, 2), ("min", 60, 1.5)):
        if seconds >= least * length:
            count = seconds / length
            return f"{count:.1f} {unit}" if count < 10 else f"{count:,.0f} {unit}"
    return f"{seconds:.0f} s"
