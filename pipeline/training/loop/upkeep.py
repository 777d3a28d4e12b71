"""Upkeep of a run after each step: alarms, scores, listeners and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

import tensorflow as tf

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.training.alarms.monitor import Alarm, act, faults_of, non_finite
from pipeline.training.alarms.non_finite import NonFinite
from pipeline.training.distributed.workers import Workers
from pipeline.training.loop import checkpoints
from pipeline.training.loop.phase_progress import PhaseProgress
from pipeline.training.loop.task import PhaseTask, Step, Task
from pipeline.training.optimization.gradients import Metrics


class Evaluator(Protocol):
    """Evaluation of a run's models during training, such as FID."""

    @property
    def names(self) -> Collection[str]:
        """Names of the metrics that it measures."""

    def __call__(self, task: PhaseTask, resolution: int) -> Metrics:
        """Measure the metrics."""


@dataclass(frozen=True)
class Due:
    """Work that is due after a step; `scoring` runs the evaluation `Upkeep.score`."""

    logging: bool
    sampling: bool
    scoring: bool
    saving: bool


@dataclass
class Upkeep:
    """Upkeep of a run after each step; `notify` calls an event of all listeners by its name."""

    config: Config
    task: Task
    run: Path
    notify: Callable[..., None]
    workers: Workers
    score: Evaluator | None

    def __post_init__(self) -> None:
        self._scored = set(self.score.names) if self.score else set()
        self.measured = {*self.task.measured, *self._scored}
        """Names of the metrics that are measured rarely, not in every step."""
        self._knows_metrics = False

    def due(self, current: PhaseProgress, *, phase_ended: bool, leaving: bool) -> Due:
        """Decide what is due after a step.

        When the run stops (`leaving`), a checkpoint is due but no log entry. So a stopped and
        resumed run has the same entries as an uninterrupted one.
        """
        run, images_seen = self.config.run, current.position.images_seen
        before = images_seen - current.task.images_per_step

        def crossed(every: int) -> bool:
            return before // every != images_seen // every

        scoring = self.score is not None and (
            phase_ended or crossed(self.config.evaluation.fid_every_images or 1)
        )
        # Save all weights that are scored for `run.keep_best`: one of them will be the best.
        for_best = scoring and run.keep_best in self._scored
        return Due(
            logging=crossed(run.log_images) or phase_ended,
            sampling=crossed(run.sample_images) or phase_ended,
            scoring=scoring,
            saving=crossed(run.checkpoint_images) or leaving or for_best,
        )

    def after_step(
        self, current: PhaseProgress, step: Step, due: Due, *, stage_ended: bool
    ) -> None:
        """Measure, log and raise alarms, call listeners and save a checkpoint, in this order.

        Raises:
            AlarmError: if an alarm stops the run.
            RollBackError: if an alarm rolls it back.
        """
        phase, position = current.progress.phase, current.position
        if not self._knows_metrics:
            self._require_known(self.config.run.keep_best, current.metrics)
        # If nothing is due, do not wait for the last step: check the one before it.
        bad = step.non_finite(wait=any(astuple(due)))
        if bad is not None:
            self._fail(bad, current)
        news: list[Alarm] = []
        if due.sampling:
            found = current.task.measure(current.progress)
            current.measure(found)
            news += current.monitor.follow(self.task.readings(found))
        # Score before logging: the entry then has the score of these weights.
        if due.scoring and self.score is not None:
            current.measure(self.score(current.task, phase.resolution))
        if due.logging:
            news += self._log(current)
        for alarm in news:
            self.notify("alarmed", alarm, position.images_seen, phase)
        # Stop or roll back before these weights are sampled, exported or saved.
        limit = self.config.alarms.most_roll_backs
        act(current.monitor.bad, position.images_seen, position.roll_backs, limit)
        if due.sampling:
            self.notify("sampled", current.moment())
        if stage_ended:
            self.notify("stage_ended", current.moment())
        if due.saving:
            self._save(current)

    def _log(self, current: PhaseProgress) -> list[Alarm]:
        """Write a log entry, and return the alarms that begin or end with it."""
        moment = current.moment()
        times = moment.images_per_second, moment.data_wait, current.stopwatch.longest_wait()
        # Read metrics of the last step only: rarely measured ones were read when measured.
        of_step = {name: moment.metrics[name] for name in current.of_step}
        news = current.monitor.logged(self.task.readings(of_step), *times)
        # Make a second moment: the entry also lists the alarms that are raised now.
        self.notify("logged", current.moment())
        current.stopwatch.restart_rate()
        return news

    def _require_known(self, metric: str | None, metrics: Metrics) -> None:
        """Refuse an unknown metric in `run.keep_best`, after the first step shows which exist."""
        known = {name for saved in checkpoints.all_in(self.run) for name in saved.metrics}
        known |= metrics.keys() | self._scored
        if metric is not None and metric not in known:
            raise UserError(
                f"`run.keep_best` must be one of {', '.join(sorted(known))}. Received: {metric}"
            )
        # Check only once: at the start of a later phase a lazy regulariser may have no value yet.
        self._knows_metrics = True

    def _save(self, current: PhaseProgress) -> None:
        position, moment = current.position, current.moment()
        variables = current.task.variables
        # Save finite variables only, so that a run can resume from, or roll back to, each of them.
        for name, value in variables.items():
            if value.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(value))):
                self._fail(NonFinite(name, position.images_seen), current)
        with self.workers.chief_first():
            # No operation over replicas in this block: it would wait for other workers for ever.
            if self.workers.chief:
                checkpoint = checkpoints.save(
                    self.run,
                    variables,
                    position,
                    moment.metrics,
                    current.former,
                    seconds=moment.seconds,
                    alarms=current.monitor.streaks,
                )
                phases = self.config.schedule.build().phases
                fading = [number for number, phase in enumerate(phases) if phase.fading]
                # Prune last: older checkpoints stay until the new one is on disk.
                checkpoints.prune(self.run, self.config.run, faults_of(self.config.alarms), fading)
                self.notify("saved", moment, checkpoint.folder)

    def _fail(self, found: NonFinite, current: PhaseProgress) -> None:
        settings = self.config.alarms
        alarm = non_finite(found.tensor, settings)
        self.notify("alarmed", alarm, found.images_seen, current.progress.phase)
        act([alarm], found.images_seen, current.position.roll_backs, settings.most_roll_backs)
