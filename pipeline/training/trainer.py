"""The training loop: one for every strategy, driven by `images_seen` alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline.config import Config
from pipeline.data.dataset import dataset_for
from pipeline.data.records import RecordSet
from pipeline.errors import UserError
from pipeline.loading import WHERE
from pipeline.schedule import Phase, Progress, Schedule
from pipeline.training import checkpoints
from pipeline.training.checkpoints import Damaged, Position
from pipeline.training.descent import Metrics
from pipeline.training.phase_models import PhaseModels
from pipeline.training.replicas import in_order_of_replicas, make_strategy
from pipeline.training.state import TrainingState, variables_of
from pipeline.training.step import Step
from pipeline.training.workers import Workers


@dataclass(frozen=True)
class Moment:
    """What listeners are told of a run.

    Args:
        images_seen: The run's clock.
        progress: Phase and alpha of the step just done.
        models: Of that phase.
        metrics: Of the last step; empty before the first.
        images_per_second: Since the last entry, without the time that listeners took.
        seconds: Spent training so far, over all restarts.
    """

    images_seen: int
    progress: Progress
    models: PhaseModels
    metrics: dict[str, float]
    images_per_second: float
    seconds: float


class Listener:
    """Something that watches a run: each method is called between two steps, and does nothing.

    Listeners override what they need.
    """

    def started(self, images_seen: int, damaged: Sequence[Damaged]) -> None:
        """Training begins, or goes on from a checkpoint; all that comes later will come again.

        Args:
            images_seen: The run's clock.
            damaged: Newer checkpoints, which are not as they were written and have been put aside.
        """

    def phase_started(self, moment: Moment) -> None:
        """A phase begins, or goes on after a restart."""

    def stepped(self) -> None:
        """A step is done."""

    def logged(self, moment: Moment) -> None:
        """`run.log_images` have passed, or a phase has ended."""

    def sampled(self, moment: Moment) -> None:
        """`run.sample_images` have passed, or a phase has ended."""

    def stage_ended(self, moment: Moment) -> None:
        """The last image of a resolution has been seen."""

    def saved(self, moment: Moment, folder: Path) -> None:
        """A checkpoint has been written."""


class Trainer:
    """Trains a run from its newest checkpoint, or from the start, to the end of its schedule.

    Args:
        config: Of the run.
        records: Prepared images at every resolution of the schedule.
        run: Folder for checkpoints.
        listeners: Told of what happens, in order. They write, so that of several workers only the
            chief has any.
        strategy: That of the configuration, if it is made already.
    """

    def __init__(
        self,
        config: Config,
        records: RecordSet,
        run: Path,
        listeners: Sequence[Listener],
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        self._config = config
        self._records = records
        self._run = run
        self._listeners = listeners
        self._knows_metrics = False
        self._schedule: Schedule = config.schedule.build()
        self._strategy = strategy or make_strategy(config)
        self._workers = Workers(self._strategy)
        self._workers.require_same(
            "configuration and data",
            config.model_dump_json(exclude={"data": set(WHERE)}) + records.data_hash,
        )
        self._state = TrainingState(
            config,
            label_size=len(records.classes) if config.data.labels else 0,
            strategy=self._strategy,
        )

    def train(self, stop: Callable[[], bool] = lambda: False) -> Position:
        """Train until the schedule ends or `stop()` is true after a step; then save.

        `stop()` is called before a phase and after each step, and must be the same in all workers.

        Raises:
            UserError: if a loss, gradient or weight is not finite, or a checkpoint cannot be
                written; the last good checkpoint stays. If every checkpoint is damaged, or
                `run.keep_best` is no metric.
        """
        position, models, metrics, damaged = self._resume()
        clock = _Clock(position.seconds)
        if position.images_seen < self._schedule.total_images:
            self._tell("started", position.images_seen, damaged)
        while position.images_seen < self._schedule.total_images and not stop():
            progress = self._schedule.at(position.images_seen)
            if models is None or progress.index != position.phase:
                models = self._state.models_for(progress.phase)
                position, metrics = replace(position, phase=progress.index), {}
            position = self._train_phase(models, position, metrics, clock, stop)
        return position

    def _resume(self) -> tuple[Position, PhaseModels | None, Mapping[str, float], list[Damaged]]:
        with self._workers.chief_first():
            saved, damaged = checkpoints.newest(self._run)
            for each in damaged:
                checkpoints.put_aside(each)
        self._workers.require_same("run folder", "" if saved is None else saved.folder.name)
        if saved is None:
            return Position(0, 0, 0.0), None, {}, damaged
        models = self._state.models_for(self._schedule.phases[saved.position.phase])
        saved.restore(variables_of(models))
        return saved.position, models, saved.metrics, damaged

    def _train_phase(
        self,
        models: PhaseModels,
        position: Position,
        known: Mapping[str, float],
        clock: _Clock,
        stop: Callable[[], bool],
    ) -> Position:
        run, phase = self._config.run, self._schedule.phases[position.phase]
        clock.stop_rate()
        step = Step(self._config, phase, models, self._strategy, known)
        repeats = self._config.objective.critic_steps
        images_per_step = phase.batch_size * repeats
        batches = iter(self._batches(phase, position.images_seen))
        images_seen = position.images_seen
        progress = self._schedule.at(images_seen)
        metrics: Metrics = {}

        def moment() -> Moment:
            values = {name: float(value) for name, value in metrics.items()}
            return Moment(images_seen, progress, models, values, clock.rate(), clock.seconds())

        self._tell("phase_started", moment())
        while True:
            taken = [self._next(batches) for _ in range(repeats)]
            metrics = step(taken, images_seen, progress.alpha)
            if not self._knows_metrics:
                self._require_known(run.keep_best, metrics)
            images_seen += images_per_step
            clock.tick(images_per_step)
            self._tell("stepped")
            done = images_seen >= self._schedule.total_images
            following = self._schedule.at(images_seen)
            phase_ended = done or following.index != position.phase
            leaving = phase_ended or stop()
            due = partial(_crossed, images_seen - images_per_step, images_seen)
            with clock.paused():
                if due(run.log_images) or due(run.checkpoint_images) or leaving:
                    _require_finite(metrics, images_seen)
                # Not where a run is stopped: it leaves the entries of one that never was.
                if due(run.log_images) or phase_ended:
                    self._tell("logged", moment())
                    clock.restart_rate()
                if due(run.sample_images) or phase_ended:
                    self._tell("sampled", moment())
                if done or following.phase.resolution != phase.resolution:
                    self._tell("stage_ended", moment())
                if due(run.checkpoint_images) or leaving:
                    position = Position(images_seen, position.phase, clock.seconds())
                    self._save(models, position, moment())
            if leaving:
                return position
            progress = following

    def _batches(self, phase: Phase, images_seen: int) -> Any:
        data = self._config.data

        def of_reader(reader: tf.distribute.InputContext) -> tf.data.Dataset:
            batches = dataset_for(
                self._records,
                phase,
                images_seen=images_seen,
                seed=self._config.run.seed,
                mirror=data.mirror,
                labels=data.labels,
                cache=data.cache,
                servers=data.servers,
                worker=reader.input_pipeline_id,
                workers=reader.num_input_pipelines,
            )
            replicas = reader.num_replicas_in_sync // reader.num_input_pipelines
            if replicas > 1:
                batches = batches.map(
                    lambda batch: {
                        name: in_order_of_replicas(samples, replicas)
                        for name, samples in batch.items()
                    }
                ).rebatch(phase.batch_size // reader.num_replicas_in_sync, drop_remainder=True)
            # Else workers ask each other before every batch whether there is one.
            endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
            return batches.apply(endless)

        return self._strategy.distribute_datasets_from_function(of_reader)

    def _next(self, batches: Any) -> Any:
        try:
            return next(batches)
        except tf.errors.DataLossError as error:
            raise UserError(
                "records must be whole; `growgan data verify` names the files that are not. "
                f"Received: {self._records.folder} ({error.message.splitlines()[0]})"
            ) from error
        except tf.errors.OpError as error:
            if not self._config.data.servers:
                raise
            raise UserError(
                "servers must run as long as a run does: start them again, and the run with "
                f"--resume auto. Received: {', '.join(self._config.data.servers)} "
                f"({error.message.splitlines()[0]})"
            ) from error

    def _require_known(self, metric: str | None, metrics: Metrics) -> None:
        """Once: a lazy regulariser may have no value yet at the beginning of a later phase."""
        known = {name for saved in checkpoints.all_in(self._run) for name in saved.metrics}
        known |= metrics.keys()
        if metric is not None and metric not in known:
            raise UserError(
                f"`run.keep_best` must be one of {', '.join(sorted(known))}. Received: {metric}"
            )
        self._knows_metrics = True

    def _save(self, models: PhaseModels, position: Position, moment: Moment) -> None:
        variables = variables_of(models)
        for name, value in variables.items():
            if value.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(value))):
                raise UserError(_NOT_FINITE.format(name, position.images_seen))
        with self._workers.chief_first():
            if self._workers.chief:
                checkpoint = checkpoints.save(self._run, variables, position, moment.metrics)
                checkpoints.prune(self._run, self._config.run)
                self._tell("saved", moment, checkpoint.folder)

    def _tell(self, event: str, *details: Any) -> None:
        for listener in self._listeners:
            getattr(listener, event)(*details)


_NOT_FINITE = (
    "training must stay finite: `{}` is not, after {} images. The last good checkpoint is kept; "
    "start a new run with a lower `schedule.learning_rate` or another `run.seed`"
)


def _crossed(before: int, after: int, every: int) -> bool:
    return before // every != after // every


def _require_finite(metrics: Metrics, images_seen: int) -> None:
    for name, value in metrics.items():
        if not math.isfinite(float(value)):
            raise UserError(_NOT_FINITE.format(name, images_seen))


class _Clock:
    """Seconds of training, and the rate of steps apart from tracing and from what listeners do."""

    def __init__(self, seconds: float) -> None:
        self._origin = time.monotonic() - seconds
        self._pauses = 0.0
        self._started: float | None = None
        self._images = 0

    def seconds(self) -> float:
        return time.monotonic() - self._origin

    def tick(self, images: int) -> None:
        if self._started is None:  # The first step traces and compiles.
            self.restart_rate()
        else:
            self._images += images

    def stop_rate(self) -> None:
        self._started = None

    def restart_rate(self) -> None:
        self._started, self._images, self._pauses = time.monotonic(), 0, 0.0

    def rate(self) -> float:
        if self._started is None or not self._images:
            return 0.0
        return self._images / (time.monotonic() - self._started - self._pauses)

    @contextmanager
    def paused(self) -> Iterator[None]:
        start = time.monotonic()
        yield
        # A rate that was started anew in between counts from then on.
        self._pauses += time.monotonic() - max(start, self._started or start)
