"""Trainer: the training loop for every task and strategy, driven by `images_seen` only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.loading import WHERE
from pipeline.schedule import Phase, Schedule
from pipeline.training.alarms.monitor import (
    Alarm,
    Monitor,
    RollBackError,
    act,
    faults_of,
    non_finite,
)
from pipeline.training.alarms.non_finite import NonFinite
from pipeline.training.alarms.thresholds import Streak
from pipeline.training.alarms.watchdog import Watchdog
from pipeline.training.distributed.workers import Workers
from pipeline.training.loop import checkpoints
from pipeline.training.loop.checkpoints import Damaged
from pipeline.training.loop.listeners import Listener
from pipeline.training.loop.phase_progress import PhaseProgress
from pipeline.training.loop.stopwatch import Stopwatch
from pipeline.training.loop.task import PhaseTask, Step, Task
from pipeline.training.optimization.gradients import Metrics
from pipeline.training.position import Position, RollBack


class InTraining(Protocol):
    """Evaluation of a run's models during training."""

    @property
    def names(self) -> Collection[str]:
        """Names of the metrics that it measures."""

    def __call__(self, task: PhaseTask, resolution: int) -> Metrics:
        """Measure the metrics."""


class Trainer:
    """Trainer of a run, from its newest checkpoint or the start to the end of its schedule.

    Args:
        config: Configuration of the run.
        task: Task to train.
        run: Folder of the run, for checkpoints.
        listeners: Listeners to call in order. They write files, so only the chief has any.
        strategy: Strategy of the task.
        score: Evaluation to run every `evaluation.fid_every_images` and at the end of each phase;
            its values stay among the metrics.
    """

    def __init__(
        self,
        config: Config,
        task: Task,
        run: Path,
        listeners: Sequence[Listener],
        strategy: tf.distribute.Strategy,
        score: InTraining | None = None,
    ) -> None:
        self._config = config
        self._score = score
        self._task = task
        self._run = run
        self._listeners = listeners
        self._knows_metrics = False
        self._schedule: Schedule = config.schedule.build()
        self._workers = Workers(strategy)
        self._workers.require_same(
            "configuration and data",
            config.model_dump_json(exclude={"data": set(WHERE)}) + task.data_hash,
        )
        self._watchdog = Watchdog(config.alarms, partial(self._tell, "starved"))
        self._stopwatch = Stopwatch(0.0)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, over all restarts."""
        return self._stopwatch.seconds()

    def train(self, stop: Callable[[], bool] = lambda: False) -> Position:
        """Train until the schedule ends or `stop()` is true after a step; then save.

        `stop()` is called before each phase and after each step, and must agree in all workers.

        Raises:
            AlarmError: if an alarm stops the run; the last good checkpoint stays.
            UserError: if a checkpoint cannot be written, all checkpoints are damaged, or
                `run.keep_best` is not a metric.
        """
        roll_backs: tuple[RollBack, ...] = ()
        with self._watchdog:
            while True:
                try:
                    return self._train(self._resume(roll_backs), stop)
                except RollBackError as caught:
                    alarm, images_seen, before = caught.alarm, caught.images_seen, caught.roll_backs
                # Outside the handler, whose traceback would keep the old models in memory.
                with self._workers.chief_first():  # The others find the checkpoints renamed.
                    to = checkpoints.roll_back(self._run, faults_of(self._config.alarms))
                roll_backs = (*before, RollBack(alarm.name, at=images_seen, to=to))
                self._tell("rolled_back", roll_backs[-1])
                # Also blocks of later resolutions: the failed attempt has trained them already.
                self._task.reset()

    def _train(self, start: _Start, stop: Callable[[], bool]) -> Position:
        position, task, metrics = start.position, start.task, start.metrics
        self._stopwatch = Stopwatch(start.seconds)
        monitor = Monitor(self._config.alarms, start.alarms)
        if position.images_seen < self._schedule.total_images:
            self._tell("started", position.images_seen, start.damaged)
        while position.images_seen < self._schedule.total_images and not stop():
            progress = self._schedule.at(position.images_seen)
            if task is None or progress.index != position.phase:
                task = self._task.phase(progress.phase)
                position, metrics = position.in_phase(progress.index), {}
            position = self._train_phase(task, position, metrics, monitor, stop)
        return position

    def _resume(self, roll_backs: tuple[RollBack, ...]) -> _Start:
        """Load the newest checkpoint, or start; `roll_backs` replace those of the checkpoint."""
        # The chief renames damaged checkpoints; the others then find the same newest one.
        with self._workers.chief_first():
            saved, damaged = checkpoints.newest(self._run)
            for each in damaged:
                checkpoints.put_aside(each)
        # Workers whose folders differ would resume from different checkpoints.
        self._workers.require_same("run folder", "" if saved is None else saved.folder.name)
        position = saved.position if saved else Position(0, 0)
        position = replace(position, roll_backs=roll_backs or position.roll_backs)
        # A function of the number of roll backs, so that a rolled-back run resumes exactly too.
        factor = self._config.alarms.roll_back_rate ** len(position.roll_backs)
        self._schedule = self._config.schedule.build().with_rate(factor)
        if saved is None:
            return _Start(position, None, {}, damaged)
        task = self._task.phase(self._schedule.phases[position.phase])
        # Learning rates follow from the schedule and the roll backs, not from the checkpoint.
        wanted = {n: v for n, v in task.variables.items() if not n.endswith("/learning_rate")}
        saved.restore(wanted)
        return _Start(position, task, saved.metrics, damaged, saved.seconds, saved.alarms)

    def _train_phase(
        self,
        task: PhaseTask,
        position: Position,
        known: Mapping[str, float],
        monitor: Monitor,
        stop: Callable[[], bool],
    ) -> Position:
        phase = self._schedule.phases[position.phase]
        stopwatch = self._stopwatch
        stopwatch.stop_rate()
        monitor.phase_started()
        step = task.compiled_step(known, len(position.roll_backs))
        batches = task.batches(position.images_seen)
        names = {*self._task.measured, *(self._score.names if self._score else ())}
        measured = {name: value for name, value in known.items() if name in names}
        progress = self._schedule.at(position.images_seen)
        trained = PhaseProgress(task, position, stopwatch, monitor, progress, measured)
        self._tell("phase_started", trained.moment())
        while True:
            with self._watchdog.waiting(), stopwatch.waiting():
                taken = next(batches)
            metrics = step(taken, trained.position.images_seen, trained.progress.alpha)
            trained.stepped(task.images_per_step, metrics)
            # The first step shows which metrics there are.
            if not self._knows_metrics:
                self._require_known(self._config.run.keep_best, trained.metrics)
            self._tell("stepped")
            images_seen = trained.position.images_seen
            done = images_seen >= self._schedule.total_images
            following = self._schedule.at(images_seen)
            phase_ended = done or following.index != position.phase
            leaving = phase_ended or stop()
            with stopwatch.paused():
                self._look_after(
                    trained,
                    step,
                    self._due(images_seen, task.images_per_step, phase_ended, leaving),
                    stage_ended=done or following.phase.resolution != phase.resolution,
                )
            if leaving:
                return trained.position
            trained.progress = following

    def _due(
        self, images_seen: int, images_per_step: int, phase_ended: bool, leaving: bool
    ) -> _Due:
        """Decide what is due after a step; a stop adds a checkpoint, but no log entry."""
        # So a stopped and resumed run has the entries of an uninterrupted one.
        run = self._config.run
        crossed = partial(_crossed, images_seen - images_per_step, images_seen)
        scoring = self._score is not None and (
            phase_ended or crossed(self._config.evaluation.fid_every_images or 1)
        )
        # Weights with a score for `keep_best` are saved, so that the best are there to keep.
        wanted = scoring and self._score is not None and run.keep_best in self._score.names
        return _Due(
            logging=crossed(run.log_images) or phase_ended,
            sampling=crossed(run.sample_images) or phase_ended,
            scoring=scoring,
            saving=crossed(run.checkpoint_images) or leaving or wanted,
        )

    def _look_after(
        self, trained: PhaseProgress, step: Step, due: _Due, *, stage_ended: bool
    ) -> None:
        """Handle alarms, listeners and the checkpoint between two steps, in this order."""
        phase, position = trained.progress.phase, trained.position
        # Without anything due the loop does not wait: it looks at the step before the last.
        bad = step.non_finite(wait=due.anything)
        if bad is not None:
            self._fail(bad, phase, position.roll_backs)
        news: list[Alarm] = []
        if due.sampling:
            found = trained.task.measure(trained.progress)
            trained.measure(found)
            news += trained.monitor.follow(self._task.readings(found))
        if due.scoring and self._score is not None:
            trained.measure(self._score(trained.task, phase.resolution))
        if due.logging:
            moment = trained.moment()
            times = moment.images_per_second, moment.data_wait, trained.stopwatch.longest_wait()
            of_step = {name: moment.metrics[name] for name in trained.of_step}
            news += trained.monitor.logged(self._task.readings(of_step), *times)
            self._tell("logged", trained.moment())
            trained.stopwatch.restart_rate()
        for alarm in news:
            self._tell("alarmed", alarm, position.images_seen, phase)
        most = self._config.alarms.most_roll_backs
        # Before anything of this moment is sampled, exported or saved.
        act(trained.monitor.bad, position.images_seen, position.roll_backs, most)
        if due.sampling:
            self._tell("sampled", trained.moment())
        if stage_ended:
            self._tell("stage_ended", trained.moment())
        if due.saving:
            self._save(trained)

    def _require_known(self, metric: str | None, metrics: Metrics) -> None:
        """Refuse an unknown metric in `run.keep_best`."""
        known = {name for saved in checkpoints.all_in(self._run) for name in saved.metrics}
        known |= metrics.keys() | (set(self._score.names) if self._score else set())
        if metric is not None and metric not in known:
            raise UserError(
                f"`run.keep_best` must be one of {', '.join(sorted(known))}. Received: {metric}"
            )
        # Once: at the start of a later phase a lazy regulariser may have no value yet.
        self._knows_metrics = True

    def _save(self, trained: PhaseProgress) -> None:
        position, moment = trained.position, trained.moment()
        variables = trained.task.variables
        # So that every checkpoint is one to resume from, or to roll back to.
        for name, value in variables.items():
            if value.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(value))):
                found = NonFinite(name, position.images_seen)
                self._fail(found, moment.progress.phase, position.roll_backs)
        with self._workers.chief_first():
            if self._workers.chief:
                checkpoint = checkpoints.save(
                    self._run,
                    variables,
                    position,
                    moment.metrics,
                    trained.former,
                    seconds=moment.seconds,
                    alarms=trained.monitor.streaks,
                )
                faults = faults_of(self._config.alarms)
                fading = [n for n, phase in enumerate(self._schedule.phases) if phase.fading]
                checkpoints.prune(self._run, self._config.run, faults, fading)
                self._tell("saved", moment, checkpoint.folder)

    def _fail(self, found: NonFinite, phase: Phase, roll_backs: Sequence[RollBack]) -> None:
        settings = self._config.alarms
        alarm = non_finite(found.tensor, settings)
        self._tell("alarmed", alarm, found.images_seen, phase)
        act([alarm], found.images_seen, roll_backs, settings.most_roll_backs)

    def _tell(self, event: str, *details: Any, **named: Any) -> None:
        for listener in self._listeners:
            getattr(listener, event)(*details, **named)


def _crossed(before: int, after: int, every: int) -> bool:
    return before // every != after // every


@dataclass(frozen=True)
class _Start:
    """Start of a run; `task` is None if no checkpoint was restored."""

    position: Position
    task: PhaseTask | None
    metrics: Mapping[str, float]
    damaged: Sequence[Damaged]
    seconds: float = 0.0
    alarms: Mapping[str, Streak] = field(default_factory=dict)


@dataclass(frozen=True)
class _Due:
    """Work that is due after a step."""

    logging: bool
    sampling: bool
    scoring: bool
    saving: bool

    @property
    def anything(self) -> bool:
        return self.logging or self.sampling or self.scoring or self.saving
