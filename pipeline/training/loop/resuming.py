"""Start of training, from the newest checkpoint or from nothing; and roll backs to earlier ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.config import Config
from pipeline.loading import LOCATION_KEYS
from pipeline.schedule import Schedule
from pipeline.training.alarms.monitor import faults_of
from pipeline.training.alarms.thresholds import Streak
from pipeline.training.distributed.workers import Workers
from pipeline.training.loop import checkpoints
from pipeline.training.loop.checkpoints import DamagedCheckpoint
from pipeline.training.loop.task import PhaseTask, Task
from pipeline.training.position import Position, RollBack


@dataclass(frozen=True)
class Start:
    """State in which training starts."""

    schedule: Schedule  # Schedule, with learning rates lowered by roll backs
    position: Position  # Position of the run
    task: PhaseTask | None
    """Task with restored variables, in the phase of the checkpoint; None without one."""
    metrics: Mapping[str, float]  # Metrics in the checkpoint
    damaged: Sequence[DamagedCheckpoint]
    """Newer checkpoints that were skipped, because they are damaged."""
    seconds: float = 0.0  # Seconds of training so far
    alarms: Mapping[str, Streak] = field(default_factory=dict)
    """State of alarms in the checkpoint, by name."""


def require_same_run(workers: Workers, config: Config, task: Task) -> None:
    """Refuse workers with different configurations or data."""
    text = config.model_dump_json(exclude={"data": set(LOCATION_KEYS)}) + task.data_hash
    workers.require_same("configuration and data", text)


def resume(
    config: Config, task: Task, run: Path, workers: Workers, roll_backs: tuple[RollBack, ...]
) -> Start:
    """Load the newest checkpoint, or start a run; any `roll_backs` replace the checkpoint's."""
    # The chief goes first and renames damaged checkpoints; all workers then find the same newest.
    with workers.chief_first():
        saved, damaged = checkpoints.newest(run)
        for each in damaged:
            checkpoints.put_aside(each)
    # Workers whose folders differ would resume from different checkpoints.
    workers.require_same("run folder", "" if saved is None else saved.folder.name)
    position = saved.position if saved else Position(0, 0)
    position = replace(position, roll_backs=roll_backs or position.roll_backs)
    # Use only the number of roll backs, which checkpoints hold: a rolled-back run resumes exactly.
    factor = config.alarms.roll_back_rate ** len(position.roll_backs)
    schedule = config.schedule.build().with_rate(factor)
    if saved is None:
        return Start(schedule, position, None, {}, damaged)
    phase = task.phase(schedule.phases[position.phase])
    # Learning rates follow from the schedule and the roll backs, not from the checkpoint.
    wanted = {n: v for n, v in phase.variables.items() if not n.endswith("/learning_rate")}
    saved.restore(wanted)
    return Start(schedule, position, phase, saved.metrics, damaged, saved.seconds, saved.alarms)


def roll_back(config: Config, run: Path, workers: Workers) -> int:
    """Roll back before the alarms that ask for it, as `checkpoints.roll_back`; returns the same."""
    with workers.chief_first():  # Other workers then find the checkpoints renamed.
        return checkpoints.roll_back(run, faults_of(config.alarms))
