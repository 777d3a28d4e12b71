"""The training loop: one for every strategy, driven by `images_seen` alone."""

from __future__ import annotations

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
from pipeline.training.alarms.diversity import Diversity
from pipeline.training.alarms.non_finite import NonFinite
from pipeline.training.alarms.watch import Alarm, RollBackError, Watch, act, faults_of, non_finite
from pipeline.training.alarms.watchdog import Watchdog
from pipeline.training.checkpoints import Damaged, Position, RollBack
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
        data_wait: Share of that time that was spent waiting for batches.
        seconds: Spent training so far, over all restarts.
        alarms: Whether each alarm that is watched stands.
        roll_backs: How the run went back, in order.
    """

    images_seen: int
    progress: Progress
    models: PhaseModels
    metrics: dict[str, float]
    images_per_second: float
    data_wait: float
    seconds: float
    alarms: Mapping[str, bool]
    roll_backs: Sequence[RollBack]


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

    def alarmed(self, alarm: Alarm, images_seen: int, phase: Phase) -> None:
        """An alarm has begun or ended."""

    def starved(self, seconds: float, *, stop: bool) -> None:
        """No batch has come for so long, and the run still waits.

        Called on another thread. With `stop` the run is to end, and cannot by itself: whoever owns
        the process has to end it.
        """

    def rolled_back(self, roll_back: RollBack) -> None:
        """The run goes back; what came after the checkpoint will come again, and not the same."""


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
        self._state = self._new_state()
        self._diversity = None
        if config.alarms.collapse != "ignore":
            self._diversity = Diversity(config, records)
        self._watchdog = Watchdog(config.alarms, partial(self._tell, "starved"))

    def _new_state(self) -> TrainingState:
        labels = len(self._records.classes) if self._config.data.labels else 0
        return TrainingState(self._config, label_size=labels, strategy=self._strategy)

    def train(self, stop: Callable[[], bool] = lambda: False) -> Position:
        """Train until the schedule ends or `stop()` is true after a step; then save.

        `stop()` is called before a phase and after each step, and must be the same in all workers.

        Raises:
            AlarmError: if an alarm stops the run; the last good checkpoint stays.
            UserError: if a checkpoint cannot be written, every checkpoint is damaged, or
                `run.keep_best` is no metric.
        """
        roll_backs: tuple[RollBack, ...] = ()
        with self._watchdog:
            while True:
                try:
                    return self._train(self._resume(roll_backs), stop)
                except RollBackError as caught:
                    alarm, images_seen, before = caught.alarm, caught.images_seen, caught.roll_backs
                # Here the models of the failed attempt are let go.
                with self._workers.chief_first():  # The others find it done.
                    to = checkpoints.roll_back(self._run, faults_of(self._config.alarms))
                roll_backs = (*before, RollBack(alarm.name, at=images_seen, to=to))
                self._tell("rolled_back", roll_backs[-1])
                self._state = self._new_state()

    def _train(self, start: _Start, stop: Callable[[], bool]) -> Position:
        position, models, metrics = start.position, start.models, start.metrics
        clock = _Clock(position.seconds)
        watch = Watch(self._config, position.alarms)
        if position.images_seen < self._schedule.total_images:
            self._tell("started", position.images_seen, start.damaged)
        while position.images_seen < self._schedule.total_images and not stop():
            progress = self._schedule.at(position.images_seen)
            if models is None or progress.index != position.phase:
                models = self._state.models_for(progress.phase)
                position, metrics = replace(position, phase=progress.index), {}
            position = self._train_phase(models, position, metrics, clock, watch, stop)
        return position

    def _resume(self, roll_backs: tuple[RollBack, ...]) -> _Start:
        """The newest checkpoint or the beginning, after these roll backs or those it knows of."""
        with self._workers.chief_first():
            saved, damaged = checkpoints.newest(self._run)
            for each in damaged:
                checkpoints.put_aside(each)
        self._workers.require_same("run folder", "" if saved is None else saved.folder.name)
        position = saved.position if saved else Position(0, 0, 0.0)
        position = replace(position, roll_backs=roll_backs or position.roll_backs)
        factor = self._config.alarms.roll_back_rate ** len(position.roll_backs)
        self._schedule = self._config.schedule.build().with_rate(factor)
        if saved is None:
            return _Start(position, None, {}, damaged)
        models = self._state.models_for(self._schedule.phases[position.phase])
        variables = variables_of(models)
        # Learning rates follow from the schedule and the roll backs.
        saved.restore({n: v for n, v in variables.items() if not n.endswith("/learning_rate")})
        return _Start(position, models, saved.metrics, damaged)

    def _train_phase(
        self,
        models: PhaseModels,
        position: Position,
        known: Mapping[str, float],
        clock: _Clock,
        watch: Watch,
        stop: Callable[[], bool],
    ) -> Position:
        run, phase = self._config.run, self._schedule.phases[position.phase]
        clock.stop_rate()
        watch.phase_started()
        roll_backs = position.roll_backs
        step = Step(self._config, phase, models, self._strategy, known, len(roll_backs))
        repeats = self._config.objective.critic_steps
        images_per_step = phase.batch_size * repeats
        batches = iter(self._batches(phase, position.images_seen))
        images_seen = position.images_seen
        progress = self._schedule.at(images_seen)
        metrics: Metrics = {}
        measured: Metrics = {}

        def moment() -> Moment:
            return Moment(
                images_seen,
                progress,
                models,
                {name: float(value) for name, value in metrics.items()},
                clock.rate(),
                clock.data_wait(),
                clock.seconds(),
                watch.standing,
                roll_backs,
            )

        self._tell("phase_started", moment())
        while True:
            with self._watchdog.waiting(), clock.waiting():
                taken = [self._next(batches) for _ in range(repeats)]
            metrics = step(taken, images_seen, progress.alpha) | measured
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
            # Not where a run is stopped: it leaves the entries of one that never was.
            logging = due(run.log_images) or phase_ended
            sampling = due(run.sample_images) or phase_ended
            saving = due(run.checkpoint_images) or leaving
            with clock.paused():
                found = step.non_finite(wait=logging or sampling or saving)
                if found is not None:
                    self._fail(found, phase, roll_backs)
                news: list[Alarm] = []
                if sampling and self._diversity is not None:
                    measured["diversity"] = self._diversity(models, progress)
                    metrics |= measured
                    news += watch.measured(measured["diversity"])
                if logging:
                    now = moment()
                    times = now.images_per_second, now.data_wait, clock.longest_wait()
                    news += watch.logged(now.metrics, *times)
                    self._tell("logged", moment())
                    clock.restart_rate()
                for alarm in news:
                    self._tell("alarmed", alarm, images_seen, phase)
                act(watch.bad, images_seen, roll_backs, self._config.alarms.most_roll_backs)
                if sampling:
                    self._tell("sampled", moment())
                if done or following.phase.resolution != phase.resolution:
                    self._tell("stage_ended", moment())
                if saving:
                    position = replace(
                        position,
                        images_seen=images_seen,
                        seconds=clock.seconds(),
                        alarms=watch.streaks,
                    )
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
                found = NonFinite(name, position.images_seen)
                self._fail(found, moment.progress.phase, position.roll_backs)
        with self._workers.chief_first():
            if self._workers.chief:
                checkpoint = checkpoints.save(self._run, variables, position, moment.metrics)
                checkpoints.prune(self._run, self._config.run, faults_of(self._config.alarms))
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
    """From where a run goes on: its models are None at the beginning."""

    position: Position
    models: PhaseModels | None
    metrics: Mapping[str, float]
    damaged: Sequence[Damaged]


class _Clock:
    """Seconds of training, and the rate of steps apart from tracing and from what listeners do.

    And how much of that time the loop waited for batches.
    """

    def __init__(self, seconds: float) -> None:
        self._origin = time.monotonic() - seconds
        self._started: float | None = None
        self._pause: float | None = None
        self._pauses = 0.0
        self._waits = 0.0
        self._longest_wait = 0.0
        self._images = 0

    def seconds(self) -> float:
        return time.monotonic() - self._origin

    def tick(self, images: int) -> None:
        if self._started is None:  # The first step traces and compiles.
            self.restart_rate()
        else:
            self._images += images

    def stop_rate(self) -> None:
        self._started, self._images = None, 0

    def restart_rate(self) -> None:
        self._started, self._images, self._pauses = time.monotonic(), 0, 0.0
        self._waits = self._longest_wait = 0.0

    def rate(self) -> float:
        return self._images / self._seconds_of_steps() if self._images else 0.0

    def data_wait(self) -> float:
        return self._waits / self._seconds_of_steps() if self._images else 0.0

    def longest_wait(self) -> float:
        return self._longest_wait

    def _seconds_of_steps(self) -> float:
        assert self._started is not None
        return (self._pause or time.monotonic()) - self._started - self._pauses

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._pause = time.monotonic()
        yield
        # A rate that was started anew in between counts from then on.
        self._pauses += time.monotonic() - max(self._pause, self._started or 0.0)
        self._pause = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        start = time.monotonic()
        yield
        waited = time.monotonic() - start
        self._waits += waited
        self._longest_wait = max(self._longest_wait, waited)
