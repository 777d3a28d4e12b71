"""Conditions that stop a run between steps: a time limit, and the end of a stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import UserError
from pipeline.schedule import Schedule
from pipeline.training.loop.checkpoints import DamagedCheckpoint
from pipeline.training.loop.listeners import Listener, Moment

SAFETY_FACTOR = 1.5  # Factor on the longest step and checkpoint so far, to allow for longer ones.
FIRST_SAVE_SECONDS = 30.0  # Assumed seconds for a checkpoint until the first has been written.
EXIT_SECONDS = 2.0  # Seconds for the process to exit.


class TimeLimit(Listener):
    """Stop condition: true once another step might leave too little time for a checkpoint.

    Call it between steps. Also pass it to the trainer as a listener, so that it times checkpoints.

    Args:
        seconds: Limit in seconds.
        started: Time of `clock` from which the limit counts.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self, seconds: float, *, started: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._end = started + seconds
        self._clock = clock
        self._asked: float | None = None
        self._longest_step = 0.0
        self._longest_save: float | None = None
        # Assume at most a tenth of the limit: a short limit must not stop before the first step.
        self._first_save = min(FIRST_SAVE_SECONDS, seconds / 10)

    def __call__(self) -> bool:
        """Return true if the run should stop now."""
        now = self._clock()
        # Measure from call to call, to include compilation, waiting for data and listeners.
        if self._asked is not None:
            self._longest_step = max(self._longest_step, now - self._asked)
        self._asked = now
        to_save = self._first_save if self._longest_save is None else self._longest_save
        return now + SAFETY_FACTOR * (self._longest_step + to_save) + EXIT_SECONDS >= self._end

    def saved(self, moment: Moment, folder: Path) -> None:
        """Measure the time that the checkpoint took."""
        # Measure from the call on, to include the alarms, samples and exports before a checkpoint.
        if self._asked is not None:
            self._longest_save = max(self._longest_save or 0.0, self._clock() - self._asked)


class StopAfterStage(Listener):
    """Stop condition: true once all phases up to a resolution are over.

    Call it between steps. Also pass it to the trainer as a listener, which sees a stage end.
    """

    def __init__(self, resolution: int, schedule: Schedule) -> None:
        if resolution not in schedule.resolutions:
            raise UserError(
                "`--until-resolution` must be one that the schedule trains, "
                f"{', '.join(map(str, schedule.resolutions))}. Received: {resolution}"
            )
        self._resolution = resolution
        self._schedule = schedule
        self._reached = False

    def __call__(self) -> bool:
        """Return true if the stage is over."""
        return self._reached

    def started(self, images_seen: int, damaged: Sequence[DamagedCheckpoint]) -> None:
        """Check whether the stage is over at the start; a roll back may have undone it."""
        self._reached = self._schedule.at(images_seen).phase.resolution > self._resolution

    def stage_ended(self, moment: Moment) -> None:
        """Check whether the stage that ended is the last one to train."""
        # A checkpoint is written at the end of a stage anyway, so stopping here changes no result.
        self._reached = moment.progress.phase.resolution >= self._resolution
