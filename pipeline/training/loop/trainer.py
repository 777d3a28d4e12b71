"""Training loop of any task and `tf.distribute` strategy; its only clock is `images_seen`."""

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
from pipeline.training.loop.upkeep import Evaluator, Upkeep
from pipeline.training.position import Position, RollBack


class Trainer:
    """Trainer of a run: goes on from its newest checkpoint, or begins, and follows its schedule.

    Args:
        config: Configuration of the run.
        task: Kind of training, such as synthesis: networks, losses and batches behind the
            protocol `Task`.
        run: Folder of the run, where checkpoints are read and written.
        listeners: Callbacks, called in order. They write files, so only the chief, the first
            worker, has any.
        strategy: The `tf.distribute` strategy that the task was made with.
        score: Evaluation, such as FID, to run every `evaluation.fid_every_images` and at the end
            of each phase; its values stay in the metrics until the next one. None for none.
    """

    def __init__(
        self,
        config: Config,
        task: Task,
        run: Path,
        listeners: Sequence[Listener],
        strategy: tf.distribute.Strategy,
        score: Evaluator | None = None,
    ) -> None:
        self._config = config
        self._task = task
        self._run = run
        self._workers = Workers(strategy)
        require_same_run(self._workers, config, task)
        self._resume = partial(resume, config, task, run, self._workers)
        self._notify = partial(notify, listeners)  # Its events are names of methods of `Listener`.
        self._upkeep = Upkeep(config, task, run, self._notify, self._workers, score)
        self._watchdog = Watchdog(config.alarms, partial(self._notify, "starved"))
        self._stopwatch = Stopwatch(0.0)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, over all restarts."""
        return self._stopwatch.seconds()

    def train(self, stop: Callable[[], bool] = lambda: False) -> Position:
        """Train until the schedule ends or `stop()` returns true, save, and return the position.

        `stop()` is called before each phase and after each step, and must return the same in all
        workers. If it is true before the first step, nothing is trained or saved.

        Raises:
            AlarmError: if an alarm stops the run; the last good checkpoint stays.
        """
        roll_backs: tuple[RollBack, ...] = ()
        with self._watchdog:
            while True:
                try:
                    # A name for the start would keep the old models in memory after a roll back.
                    return self._train(self._resume(roll_backs), stop)
                except RollBackError as caught:
                    alarm, images_seen, before = caught.alarm, caught.images_seen, caught.roll_backs
                # Outside the handler: its traceback would keep the old models in memory as well.
                to = roll_back(self._config, self._run, self._workers)
                roll_backs = (*before, RollBack(alarm.name, at=images_seen, to=to))
                self._notify("rolled_back", roll_backs[-1])
                # A checkpoint restores its own phase only; the failed attempt may have trained
                # blocks of later resolutions.
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
            # Rarely measured metrics, such as FID, stay until they are measured again.
            measured = {n: v for n, v in metrics.items() if n in self._upkeep.measured}
            current = PhaseProgress(task, position, self._stopwatch, monitor, progress, measured)
            position = self._train_phase(current, metrics, schedule, stop)
        return position

    def _train_phase(
        self,
        current: PhaseProgress,
        known: Mapping[str, float],
        schedule: Schedule,
        stop: Callable[[], bool],
    ) -> Position:
        """Train until the phase is over or `stop()` is true, and return the position.

        `known` has the metrics of the checkpoint after a resume; else it is empty.
        """
        task, stopwatch = current.task, self._stopwatch
        # Throughput is measured anew after the first step, which compiles: it depends on the size.
        stopwatch.stop_rate()
        current.monitor.phase_started()
        # After a roll back a step must draw other random numbers, so it gets their count.
        step = task.compiled_step(known, len(current.position.roll_backs))
        batches = task.batches(current.position.images_seen)
        self._notify("phase_started", current.moment())
        while True:
            with self._watchdog.waiting(), stopwatch.waiting():
                taken = next(batches)
            metrics = step(taken, current.position.images_seen, current.progress.alpha)
            current.stepped(task.images_per_step, metrics)
            self._notify("stepped")
            images_seen = current.position.images_seen
            done = images_seen >= schedule.total_images
            following = schedule.at(images_seen)
            # A stage is one resolution, of one or two phases: a fade-in and a hold.
            phase_ended = done or following.index != current.position.phase
            resolution = current.progress.phase.resolution
            stage_ended = done or following.phase.resolution != resolution
            leaving = phase_ended or stop()
            # Kept out of the throughput, which is that of steps.
            with stopwatch.paused():
                due = self._upkeep.due(current, phase_ended=phase_ended, leaving=leaving)
                self._upkeep.after_step(current, step, due, stage_ended=stage_ended)
            if leaving:
                return current.position
            current.progress = following
