"""The seam of the loop: a task that is no GAN trains, is killed, resumes, alarms and exports.

The task fits a linear map, `images ≈ latents · W`, to targets that follow from the clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.errors import AlarmError
from pipeline.loading import load
from pipeline.sampling.sampler import latent_sampler
from pipeline.schedule import Phase, Progress
from pipeline.training.alarms.non_finite import NonFinite
from pipeline.training.alarms.thresholds import Reading
from pipeline.training.loop import checkpoints
from pipeline.training.loop.listeners import Listener
from pipeline.training.loop.recorders import JsonLines, SampleSheets, StageExports, TensorBoard
from pipeline.training.loop.trainer import Trainer
from pipeline.training.position import Position
from savedmodels.exportable import Exportable

LATENTS = 4
TRUE = np.random.default_rng(7).normal(size=(LATENTS, 64)).astype(np.float32)


class LinearMap:
    """Fits a matrix from latents to images of 8 px, by gradient descent."""

    data_hash = "a linear map"
    measured = ("distance",)

    def __init__(self, *, broken_at: int | None = None) -> None:
        self._broken_at = broken_at
        self.reset()

    def reset(self) -> None:
        latents = keras.Input((LATENTS,), name="latents")
        dense = keras.layers.Dense(64, use_bias=False, kernel_initializer="zeros", name="map")
        images = keras.layers.Reshape((8, 8, 1))(dense(latents))
        self.model = keras.Model(latents, images)

    def phase(self, phase: Phase) -> LinearPhase:
        return LinearPhase(self.model, phase, self._broken_at)

    def readings(self, metrics: Mapping[str, float]) -> list[Reading]:
        if "distance" not in metrics:
            return []
        return [Reading("collapse", "distance", metrics["distance"], 99.0, at_once=True)]


class LinearPhase:
    def __init__(self, model: keras.Model, phase: Phase, broken_at: int | None) -> None:
        self._phase = phase
        self._broken_at = broken_at
        self.kernel = model.get_layer("map").kernel
        self.exportable = Exportable(latent_sampler(model))
        self.images_per_step = phase.batch_size

    @property
    def variables(self) -> Mapping[str, Any]:
        return {"map/kernel": self.kernel.value}

    def batches(self, images_seen: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            draw = np.random.default_rng(images_seen)
            latents = draw.normal(size=(self._phase.batch_size, LATENTS)).astype(np.float32)
            yield latents, latents @ TRUE
            images_seen += self._phase.batch_size

    def compiled_step(self, known: Mapping[str, float], roll_backs: int) -> LinearStep:
        return LinearStep(self.kernel.value, self._phase.learning_rate, self._broken_at)

    def measure(self, progress: Progress) -> dict[str, float]:
        return {"distance": float(np.linalg.norm(self.kernel.numpy() - TRUE))}

    def samples(self) -> np.ndarray:
        levels = np.clip(self.kernel.numpy() * 64 + 128, 0, 255)
        return levels.astype(np.uint8).reshape(LATENTS, 8, 8, 1)

    def examples(self, images_seen: int) -> np.ndarray:
        return np.zeros((1, 8, 8, 1), np.uint8)


class LinearStep:
    def __init__(self, kernel: tf.Variable, rate: float, broken_at: int | None) -> None:
        self._broken_at = broken_at
        self._bad: NonFinite | None = None

        @tf.function(autograph=False)
        def step(latents: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
            error = latents @ kernel - targets
            gradient = tf.transpose(latents) @ error / latents.shape[0]
            kernel.assign_sub(rate * gradient)
            return tf.reduce_mean(tf.square(error))

        self._step = step

    def __call__(self, batches: Any, images_seen: int, alpha: float) -> dict[str, Any]:
        if images_seen == self._broken_at:
            self._bad = NonFinite("loss", images_seen)
        return {"loss": self._step(*map(tf.constant, batches))}

    def non_finite(self, *, wait: bool) -> NonFinite | None:
        return self._bad


def config_of(*overrides: str) -> Config:
    keys = ["schedule.resolution=8", "schedule.start_resolution=8", "schedule.hold_images=96"]
    keys += ["schedule.batch_size=8", "schedule.learning_rate=0.3", "network.stddev_group=1"]
    keys += ["alarms.throughput=ignore"]  # Steps take microseconds, so the machine's load decides.
    keys += ["run.log_images=8", "run.sample_images=32", "run.checkpoint_images=16"]
    return load("quickstart", [*keys, *overrides])


def train(
    run: Path,
    *listeners: Listener,
    config: Config | None = None,
    stop_after: int = 10**6,
    broken_at: int | None = None,
) -> Position:
    calls = iter(range(10**6))
    run.mkdir(exist_ok=True)
    trainer = Trainer(
        config or config_of(),
        LinearMap(broken_at=broken_at),
        run,
        [JsonLines(run / "metrics.jsonl"), *listeners],
        tf.distribute.get_strategy(),
    )
    return trainer.train(lambda: next(calls) >= stop_after)


def left_by(run: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """The trained matrix, and the log without times."""
    newest = checkpoints.all_in(run)[-1]
    kernel = tf.Variable(np.zeros_like(TRUE))
    newest.restore({"map/kernel": kernel})
    times = ("seconds", "images_per_second", "data_wait")
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    log = [{name: value for name, value in line.items() if name not in times} for line in lines]
    return kernel.numpy().tobytes(), log


def test_it_learns(tmp_path: Path) -> None:
    assert train(tmp_path) == Position(96, 0)
    losses = [entry["loss"] for entry in left_by(tmp_path)[1]]
    assert losses[-1] < losses[0] / 5


@pytest.mark.parametrize("stop_after", [1, 5, 8])
def test_a_stopped_run_resumes_bit_for_bit(tmp_path: Path, stop_after: int) -> None:
    train(tmp_path / "whole")
    stopped = train(tmp_path / "again", stop_after=stop_after)
    assert stopped.images_seen == 8 * stop_after
    assert train(tmp_path / "again") == Position(96, 0)
    assert left_by(tmp_path / "again") == left_by(tmp_path / "whole")


def test_a_killed_run_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    class Kill(Listener):
        def logged(self, moment: Any) -> None:
            if moment.images_seen == 56:
                raise Killed

    train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "again", Kill())
    assert checkpoints.all_in(tmp_path / "again")[-1].position.images_seen == 48
    train(tmp_path / "again")
    assert left_by(tmp_path / "again") == left_by(tmp_path / "whole")


def test_its_readings_and_tensors_raise_alarms(tmp_path: Path) -> None:
    with pytest.raises(AlarmError, match="Received: `loss`, which is not"):
        train(tmp_path / "a", broken_at=24)
    bad = config_of("schedule.learning_rate=300", "alarms.collapse=stop")
    with pytest.raises(AlarmError, match="`distance` must be at most 99"):
        train(tmp_path / "b", config=bad)


def test_a_roll_back_begins_again_from_the_last_good_checkpoint(tmp_path: Path) -> None:
    class Told(Listener):
        def rolled_back(self, roll_back: Any) -> None:
            backs.append((roll_back.at, roll_back.to))

    backs: list[tuple[int, int]] = []
    config = config_of("alarms.non_finite=roll_back", "alarms.most_roll_backs=1")
    with pytest.raises(AlarmError, match="1 roll backs"):
        train(tmp_path, Told(), config=config, broken_at=40)
    assert backs == [(40, 32)]


def test_it_leaves_sheets_event_files_and_a_savedmodel(tmp_path: Path) -> None:
    exported: list[Path] = []
    train(
        tmp_path,
        SampleSheets(tmp_path / "samples", 8),
        TensorBoard(tmp_path / "tensorboard", config_of()),
        StageExports(tmp_path / "models", lambda _: {}, exported.append, exported.remove),
    )
    assert [sheet.name for sheet in sorted((tmp_path / "samples").iterdir())] == [
        f"images-{images:09d}.png" for images in (32, 64, 96)
    ]
    assert list((tmp_path / "tensorboard").iterdir())
    assert exported == [tmp_path / "models" / "8x8" / "96"]
    serve = tf.saved_model.load(str(exported[0])).signatures["serving_default"]
    latents = tf.eye(LATENTS)
    kernel = np.frombuffer(left_by(tmp_path)[0], np.float32).reshape(LATENTS, 8, 8, 1)
    found = serve(latents=latents)["images"].numpy()
    np.testing.assert_allclose(found, np.clip(kernel, -1, 1), atol=1e-6)
