"""Reasons to stop a run between steps: a time limit, and the end of a stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import UserError
from pipeline.schedule import Schedule
from pipeline.training.loop.checkpoints import Damaged
from pipeline.training.loop.listeners import Listener, Moment

ROOM = 1.5
"""The next step, and the next checkpoint, may take so many times as long as the longest so far."""
TO_SAVE_AT_FIRST = 30.0
"""Seconds that a checkpoint is thought to take before one was written."""
TO_LEAVE = 2.0
"""Seconds for a process to end."""


class TimeLimit(Listener):
    """True once one more step might leave too little time to save; asked between steps.

    It is to be among the listeners of the trainer that asks it. It counts the longest time from
    one question to the next, which is that of a step, the first of a phase with its compilation
    among them, and the longest from a question to the end of the checkpoint that came of it.

    Args:
        seconds: The limit.
        started: When it began to count, by `clock`.
        clock: Seconds that never go back.
    """

    def __init__(
        self, seconds: float, *, started: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._end = started + seconds
        self._clock = clock
        self._asked: float | None = None
        self._longest_step = 0.0
        self._longest_save: float | None = None
        self._first_save = min(TO_SAVE_AT_FIRST, seconds / 10)

    def __call__(self) -> bool:
        """Return whether to stop now."""
        now = self._clock()
        if self._asked is not None:
            self._longest_step = max(self._longest_step, now - self._asked)
        self._asked = now
        to_save = self._first_save if self._longest_save is None else self._longest_save
        return now + ROOM * (self._longest_step + to_save) + TO_LEAVE >= self._end

    def saved(self, moment: Moment, folder: Path) -> None:
        """Note how long it took."""
        if self._asked is not None:
            self._longest_save = max(self._longest_save or 0.0, self._clock() - self._asked)


class StopAfterStage(Listener):
    """True once every phase of a resolution, and of those below it, is over; asked between steps.

    It is to be among the listeners of the trainer that asks it. Where a stage ends a checkpoint is
    written in any case, so a run that stops there and goes on is the run that does not stop.

    Args:
        resolution: Resolution of the stage.
        schedule: Schedule of the run.

    Raises:
        UserError: if the schedule has no such resolution.
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
        """Return whether the stage is over."""
        return self._reached

    def started(self, images_seen: int, damaged: Sequence[Damaged]) -> None:
        """Note where the run stands; it may have gone back."""
        self._reached = self._schedule.at(images_seen).phase.resolution > self._resolution

    def stage_ended(self, moment: Moment) -> None:
        """Note which stage it was."""
        self._reached = moment.progress.phase.resolution >= self._resolution
