"""Tiny runs of a trainer, and what they leave behind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.config import Config
from pipeline.data.prepare import records_for
from pipeline.data.records import RecordSet
from pipeline.schedule import Phase
from pipeline.training.distributed.replicas import make_strategy
from pipeline.training.loop import checkpoints
from pipeline.training.loop.checkpoints import DamagedCheckpoint
from pipeline.training.loop.listeners import Listener, Moment
from pipeline.training.loop.trainer import Trainer
from pipeline.training.loop.upkeep import Evaluator
from pipeline.training.position import Position
from pipeline.training.synthesis.phase_models import PhaseModels
from pipeline.training.synthesis.task import Synthesis


class Recorder(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int]] = []
        self.stages: list[tuple[int, int]] = []
        self.logged_at: list[int] = []
        self.rates: list[float] = []
        self.starts: list[tuple[int, list[Path]]] = []

    def started(self, images_seen: int, damaged: Sequence[DamagedCheckpoint]) -> None:
        self.starts.append((images_seen, [each.folder for each in damaged]))

    def phase_started(self, moment: Moment) -> None:
        self.phases.append((moment.progress.phase.name, moment.images_seen))

    def stage_ended(self, moment: Moment) -> None:
        self.stages.append((moment.progress.phase.resolution, moment.images_seen))

    def logged(self, moment: Moment) -> None:
        self.logged_at.append(moment.images_seen)
        self.rates.append(moment.images_per_second)


class Idle:
    """A step that trains nothing, for what does not depend on weights."""

    def __init__(self, *_: Any) -> None:
        pass

    def __call__(self, batches: list[Any], images_seen: int, alpha: float) -> dict[str, Any]:
        return {"critic_loss": 0.0, "generator_loss": abs(images_seen - 100.0)}

    def non_finite(self, *, wait: bool) -> None:
        pass


class Scattered(Idle):
    """Gives what starts at 0 random values, as training does, for what is made of a run later."""

    def __init__(self, _config: Config, _phase: Phase, models: PhaseModels, *_: Any) -> None:
        draw = np.random.default_rng(0)
        for weight in (*models.generator.weights, *models.average.weights):
            if not weight.numpy().any():
                weight.assign(draw.normal(size=weight.shape))


def trainer_of(
    config: Config,
    records: RecordSet,
    run: Path,
    listeners: Sequence[Listener],
    strategy: tf.distribute.Strategy | None = None,
    score: Evaluator | None = None,
) -> Trainer:
    """A trainer of synthesis."""
    strategy = strategy or make_strategy(config)
    task = Synthesis(config, records, strategy)
    return Trainer(config, task, run, listeners, strategy, score)


def train(
    config: Config, run: Path, *listeners: Listener, stop_after: int | None = None
) -> Position:
    """Train; with `stop_after`, ask to stop after so many steps."""
    records = records_for(config.data, config.schedule.build().resolutions)
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return stop_after is not None and calls > stop_after

    return trainer_of(config, records, run, listeners).train(stop)


def values_of(run: Path) -> dict[str, np.ndarray]:
    """Every variable in a run's newest checkpoint."""
    reader = tf.train.load_checkpoint(str(checkpoints.all_in(run)[-1].folder / "variables"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_dtype_map()}


def entries_of(log: Path) -> list[dict[str, Any]]:
    """What was logged, without alarms."""
    lines = map(json.loads, log.read_text().splitlines())
    return [line for line in lines if "alarm" not in line]


def assert_same(one: Path, other: Path) -> None:
    ours, theirs = values_of(one), values_of(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
