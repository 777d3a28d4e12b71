"""Trainer: the training loop for every task and strategy, driven by `images_seen` only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import tensorflow as tf

from pipeline.config import Config
from pipeline.schedule import Schedule
from pipeline.training.alarms.monitor import Monitor, RollBackError
from pipeline.training.alarms.watchdog import Watchdog
from pipeline.training.distributed.workers import Workers
from pipeline.training.loop.listeners import Listener, notify
from pipeline.training.loop.phase_progress import PhaseProgress
from pipeline.training.loop.resuming import Start, require_same_run, resume, roll_back
from pipeline.training.loop.stopwatch import Stopwatch
from pipeline.training.loop.task import Task
from pipeline.training.loop.upkeep import InTraining, Upkeep
from pipeline.training.position import Position, RollBack


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
        self._task = task
        self._run = run
        self._workers = Workers(strategy)
        require_same_run(self._workers, config, task)
        self._resume = partial(resume, config, task, run, self._workers)
        self._notify = partial(notify, listeners)
        self._upkeep = Upkeep(config, task, run, self._notify, self._workers, score)
        self._watchdog = Watchdog(config.alarms, partial(self._notify, "starved"))
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
        """
        roll_backs: tuple[RollBack, ...] = ()
        with self._watchdog:
            while True:
                try:
                    # No name for the start here: it would keep its models in memory too.
                    return self._train(self._resume(roll_backs), stop)
                except RollBackError as caught:
                    alarm, images_seen, before = caught.alarm, caught.images_seen, caught.roll_backs
                # Outside the handler, whose traceback would keep the old models in memory.
                to = roll_back(self._config, self._run, self._workers)
                roll_backs = (*before, RollBack(alarm.name, at=images_seen, to=to))
                self._notify("rolled_back", roll_backs[-1])
                # Also blocks of later resolutions: the failed attempt has trained them already.
                self._task.reset()

    def _train(self, start: Start, stop: Callable[[], bool]) -> Position:
        schedule, position = start.schedule, start.position
        task, metrics = start.task, start.metrics
        self._stopwatch = Stopwatch(start.seconds)
        monitor = Monitor(self._config.alarms, start.alarms)
        if position.images_seen < schedule.total_images:
            self._notify("started", position.images_seen, start.damaged)
        while position.images_seen < schedule.total_images and not stop():
            progress = schedule.at(position.images_seen)
            if task is None or progress.index != position.phase:
                task = self._task.phase(progress.phase)
                position, metrics = position.in_phase(progress.index), {}
            measured = {n: v for n, v in metrics.items() if n in self._upkeep.measured}
            trained = PhaseProgress(task, position, self._stopwatch, monitor, progress, measured)
            position = self._train_phase(trained, metrics, schedule, stop)
        return position

    def _train_phase(
        self,
        trained: PhaseProgress,
        known: Mapping[str, float],
        schedule: Schedule,
        stop: Callable[[], bool],
    ) -> Position:
        """Train until the phase is over or `stop()` is true, and return the position."""
        task, stopwatch = trained.task, self._stopwatch
        # The first step compiles, and another size has another throughput.
        stopwatch.stop_rate()
        trained.monitor.phase_started()
        step = task.compiled_step(known, len(trained.position.roll_backs))
        batches = task.batches(trained.position.images_seen)
        self._notify("phase_started", trained.moment())
        while True:
            with self._watchdog.waiting(), stopwatch.waiting():
                taken = next(batches)
            metrics = step(taken, trained.position.images_seen, trained.progress.alpha)
            trained.stepped(task.images_per_step, metrics)
            self._notify("stepped")
            images_seen = trained.position.images_seen
            done = images_seen >= schedule.total_images
            following = schedule.at(images_seen)
            phase_ended = done or following.index != trained.position.phase
            resolution = trained.progress.phase.resolution
            stage_ended = done or following.phase.resolution != resolution
            leaving = phase_ended or stop()
            # Not part of the throughput, which is that of steps.
            with stopwatch.paused():
                due = self._upkeep.due(trained, phase_ended=phase_ended, leaving=leaving)
                self._upkeep.after_step(trained, step, due, stage_ended=stage_ended)
            if leaving:
                return trained.position
            trained.progress = following
