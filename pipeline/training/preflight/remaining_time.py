"""Estimate how long a run still takes, for the display of `growgan train`."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.training.loop.listeners import Moment
from pipeline.training.preflight.costs import step_seconds, works_of


class RemainingTime:
    """Estimator of the seconds to a run's end, from its current speed and the cost of each phase.

    Args:
        config: Configuration of the run.
    """

    def __init__(self, config: Config) -> None:
        self._schedule = config.schedule.build()
        works = works_of(config, self._schedule.phases, label_size=0)  # Labels change little.
        # These are seconds of another machine, but only ratios between phases are used.
        self._image_seconds = {
            phase: step_seconds(config, phase, work) / phase.batch_size
            for phase, work in zip(self._schedule.phases, works, strict=True)
        }

    def seconds(self, moment: Moment) -> float:
        """Estimate the seconds that are left; `moment.images_per_second` must be above 0."""
        left = sum(
            self._image_seconds[phase]
            * max(0, start + phase.images - max(start, moment.images_seen))
            for start, phase in zip(self._schedule.starts, self._schedule.phases, strict=True)
        )
        return left / self._image_seconds[moment.progress.phase] / moment.images_per_second
