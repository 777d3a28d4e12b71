"""The end of a stage, at which a run may stop so that something comes in between."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import UserError
from pipeline.schedule import Schedule
from pipeline.training.checkpoints import Damaged
from pipeline.training.listeners import Listener, Moment


class StageEnd(Listener):
    """True once every phase of a resolution, and of those below it, is over; asked between steps.

    It is to be among the listeners of the trainer that asks it. Where a stage ends a checkpoint is
    written in any case, so a run that stops there and goes on is the run that does not stop.

    Args:
        resolution: Of the stage.
        schedule: Of the run.

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
        """Whether the stage is over."""
        return self._reached

    def started(self, images_seen: int, damaged: Sequence[Damaged]) -> None:
        """Note where the run stands; it may have gone back."""
        self._reached = self._schedule.at(images_seen).phase.resolution > self._resolution

    def stage_ended(self, moment: Moment) -> None:
        """Note which stage it was."""
        self._reached = moment.progress.phase.resolution >= self._resolution
