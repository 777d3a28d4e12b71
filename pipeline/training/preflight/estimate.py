"""Preflight estimate of a run: time and memory of each phase, and whether it fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.schedule import Phase
from pipeline.training.distributed.replicas import gpus_here, replicas_here
from pipeline.training.optimization.micro_batches import micro_batches
from pipeline.training.preflight.costs import Work, memory, step_seconds, works_of
from pipeline.training.preflight.trial import Trial, run_trial

GIB = 2**30
SURE = 0.6  # Share of the free memory below which an estimate is trusted: the phase fits.
HOPELESS = 2.0
"""Multiple of the free memory above which an estimate is trusted: the phase does not fit."""


@dataclass(frozen=True)
class PhaseEstimate:
    """Time and memory of one phase."""

    phase: Phase  # Phase of the schedule
    steps: int  # Number of steps
    work: Work  # Work of a step
    memory: float  # Peak memory in bytes; infinite if a trial ran out of memory
    seconds: float
    """Time for all steps in seconds; after a trial, also for preparing the first step."""


@dataclass(frozen=True)
class RunEstimate:
    """Time and memory of a run."""

    phases: Sequence[PhaseEstimate]  # Phases in order
    measured: Trial | None = None
    """Trial of the largest phase, to which all estimates are scaled; None without one."""

    @property
    def largest(self) -> PhaseEstimate:
        """Phase with steps that needs the most memory; the last one, if several need the same."""
        # The last step of a short phase may pass the whole next phase, which then has none.
        trained = [each for each in self.phases if each.steps]
        return max(reversed(trained), key=lambda each: each.memory)


def estimate_run(
    config: Config,
    label_size: int,
    *,
    free: float,
    seconds: float | None = None,
    prepare: Callable[[], None] | None = None,
) -> RunEstimate:
    """Estimate time and memory of a run; try some steps if the memory may be too little.

    Args:
        config: Configuration of the run.
        label_size: Number of classes, 0 without labels.
        free: Free memory in bytes.
        seconds: Seconds to try steps for, even without doubt; None to try only in doubt.
        prepare: Function to call first in the process of the trial.
    """
    estimate = RunEstimate(estimates(config, label_size))
    # If the largest phase fits, all do.
    largest = estimate.largest
    doubt = largest.memory > SURE * free or seconds is not None
    if not doubt or largest.memory > HOPELESS * free:
        return estimate
    measured = run_trial(
        config, largest.phase, label_size=label_size, seconds=seconds or 0.0, prepare=prepare
    )
    if measured is None:
        failed = replace(largest, memory=math.inf)
        return RunEstimate([failed if each is largest else each for each in estimate.phases])
    return RunEstimate(_scale_to_trial(estimate, measured), measured)


def estimates(config: Config, label_size: int) -> list[PhaseEstimate]:
    """Estimate each phase with the cost model alone."""
    schedule = config.schedule.build()
    works = works_of(config, schedule.phases, label_size)
    numbers = schedule.steps(config.objective.critic_steps)
    return [
        PhaseEstimate(
            phase,
            steps,
            work,
            memory(config, work, at_once=at_once(config, phase)),
            steps * step_seconds(config, phase, work),
        )
        for phase, steps, work in zip(schedule.phases, numbers, works, strict=True)
    ]


def at_once(config: Config, phase: Phase) -> int:
    """Count the images that are in the networks of a process, or of each of its GPUs, at once."""
    # On a CPU all replicas of the process share its memory.
    share = _share(config, phase)
    parts = micro_batches(share, config.run.micro_batch, config.network.stddev_group)
    return share // parts * (1 if gpus_here() else phase.batch_size // share)


def _share(config: Config, phase: Phase) -> int:
    """Number of images of a batch per replica."""
    return phase.batch_size // replicas_here(config.run)


def require_fit(config: Config, estimate: RunEstimate, free: float) -> None:
    """Refuse a run if a phase does not fit in memory."""
    largest = estimate.largest
    if largest.memory <= free:
        return
    needed = f"{largest.memory / GIB:.1f} GiB" if largest.memory < math.inf else "more"
    fitting = _fitting_micro_batch(config, largest, free)
    way = f"`run.micro_batch={fitting}` would fit" if fitting else "no `run.micro_batch` would fit"
    raise UserError(
        f"every phase must fit in the {free / GIB:.1f} GiB that are free, or that "
        f"`run.memory_gib` grants. Received: {largest.phase.name}, which takes {needed} with "
        f"{at_once(config, largest.phase)} images at once; {way}"
    )


def _fitting_micro_batch(config: Config, largest: PhaseEstimate, free: float) -> int | None:
    """Find the largest micro-batch with which the phase would fit, scaled from its memory."""

    def needed(config: Config) -> float:
        return memory(config, largest.work, at_once=at_once(config, largest.phase))

    # If the trial ran out of memory, assume that the phase needs at least all free memory.
    known = largest.memory < math.inf
    scale = largest.memory / needed(config) if known else max(1.0, free / needed(config))
    share = _share(config, largest.phase)
    groups = share // config.network.stddev_group
    for parts in range(2, groups + 1):
        run = config.run.model_copy(update={"micro_batch": share // parts})
        fits = scale * needed(config.model_copy(update={"run": run})) <= free
        if fits and groups % parts == 0:
            return share // parts
    return None


def _scale_to_trial(estimate: RunEstimate, measured: Trial) -> list[PhaseEstimate]:
    largest = estimate.largest
    to_memory = measured.memory / largest.memory
    to_seconds = measured.step_seconds * largest.steps / largest.seconds
    preparing = measured.first_seconds - measured.step_seconds
    return [
        replace(
            each,
            memory=each.memory * to_memory,
            seconds=each.seconds * to_seconds + preparing * bool(each.steps),
        )
        for each in estimate.phases
    ]
