"""Each alarm is raised by a run that really has its fault, and none by a run that has not."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from rich.console import Console

from pipeline.cli.training_display import TrainingDisplay
from pipeline.config import Config
from pipeline.data.prepare import records_for
from pipeline.errors import AlarmError
from pipeline.training.alarms.monitor import Alarm
from pipeline.training.distributed import batches
from pipeline.training.loop import checkpoints
from pipeline.training.loop.listeners import Listener, Moment
from pipeline.training.loop.recorders import JsonLines, TensorBoard
from pipeline.training.synthesis import phase_task
from pipeline.training.synthesis.step import SynthesisStep
from tests.pipeline.training.runs import Idle, trainer_of

PACE = {"log_images": 96, "sample_images": 192, "checkpoint_images": 192}
SHORT = {"resolution": 4, "hold_images": 960, "batch_size": 16}
FROZEN_GENERATOR = {"learning_rate": 1e-8}
TRAINED_DISCRIMINATOR = {"discriminator_rate_factor": 3e5}

FAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "saturation": {
        "objective": {"loss": "least_squares", "penalty": "none", "drift": 0.0},
        "schedule": {
            **FROZEN_GENERATOR,
            **{"resolution": 16, "start_resolution": 16, "hold_images": 1920},
        },
        "optimizer": TRAINED_DISCRIMINATOR,
    },
    "penalty_norm": {"objective": {"penalty_weight": 1e-6}, "schedule": {"learning_rate": 0.01}},
    "exploding_gradients": {"objective": {"penalty_weight": 1e6}},
    "vanishing_gradients": {"objective": {"penalty": "none", "weight_clip": 1e-3}},
}


class Told(Listener):
    """Keeps the alarms."""

    def __init__(self) -> None:
        self.alarms: list[tuple[str, str]] = []
        self.standing: dict[str, bool] = {}
        self.starved_for: list[float] = []

    def logged(self, moment: Moment) -> None:
        self.standing = dict(moment.alarms)

    def alarmed(self, alarm: Alarm, images_seen: int, phase: Any) -> None:
        self.alarms.append((alarm.name, alarm.state))

    def starved(self, seconds: float, *, stop: bool) -> None:
        self.starved_for.append(seconds)


def faulty(tiny: Callable[..., Config], fault: str | None, **sections: dict[str, Any]) -> Config:
    merged: dict[str, dict[str, Any]] = {"schedule": SHORT, "run": PACE}
    merged["alarms"] = {"collapse": "warn"}
    for more in (FAULTS[fault] if fault else {}, sections):
        for name, keys in more.items():
            merged[name] = {**merged.get(name, {}), **keys}
    return tiny(**merged)


def train(config: Config, run: Path, *listeners: Listener) -> Told:
    told = Told()
    records = records_for(config.data, config.schedule.build().resolutions)
    trainer_of(config, records, run, [*listeners, told]).train()
    return told


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_with_a_fault_raises_its_alarm(
    tiny: Callable[..., Config], tmp_path: Path, fault: str
) -> None:
    told = train(faulty(tiny, fault), tmp_path)
    assert (fault, "begun") in told.alarms
    assert told.standing[fault]


@pytest.mark.slow
def test_a_generator_that_forgets_its_latents_is_a_collapse(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetting(SynthesisStep):
        def __call__(self, batches: Any, images_seen: int, alpha: float) -> Any:
            metrics = super().__call__(batches, images_seen, alpha)
            if images_seen >= 320:
                first, *_ = self._models.generator.trainable_weights
                assert first.path.endswith("kernel")
                first.assign(tf.zeros_like(first))
            return metrics

    monkeypatch.setattr(phase_task, "SynthesisStep", Forgetting)
    told = train(faulty(tiny, None, schedule={"hold_images": 576}), tmp_path)
    assert told.alarms == [("collapse", "begun")]
    assert told.standing["collapse"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("resolution", "maps"), [(8, 16), pytest.param(16, 32, marks=pytest.mark.thorough)]
)
def test_a_healthy_run_raises_none(
    tiny: Callable[..., Config], tmp_path: Path, resolution: int, maps: int
) -> None:
    schedule = {"hold_images": 1600, "fade_images": 1600, "batch_size": 16}
    whole = {"resolution": resolution, **schedule}
    told = train(faulty(tiny, None, schedule=whole, network={"fmap_max": maps}), tmp_path)
    assert told.alarms == []
    assert not any(told.standing.values())
    assert len(told.standing) == 5


def test_an_alarm_is_told_everywhere_and_stops_a_run_that_is_to_stop(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Exploding(Idle):
        def __call__(self, batches: Any, images_seen: int, alpha: float) -> Any:
            metrics = super().__call__(batches, images_seen, alpha)
            return {**metrics, "critic_gradient_norm": 2000.0 + images_seen}

    monkeypatch.setattr(phase_task, "SynthesisStep", Exploding)
    config = faulty(tiny, None, alarms={"exploding_gradients": "stop"})
    text = io.StringIO()
    with TrainingDisplay(Console(file=text, width=200), config) as display:
        listeners = [
            display,
            JsonLines(tmp_path / "metrics.jsonl"),
            TensorBoard(tmp_path / "events", config),
        ]
        with pytest.raises(AlarmError) as caught:
            train(config, tmp_path, *listeners)
    rule = "alarm exploding_gradients: `critic_gradient_norm` must be at most 1000. Received: "
    message = str(caught.value)
    assert message.startswith(rule)
    assert message.endswith(
        ", after 288 images. The run is stopped; its last good checkpoint is kept"
    )
    # The entry is written first; nothing is saved at this moment or later.
    *entries, alarm = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert [entry["images_seen"] for entry in entries] == [96, 192, 288]
    assert (alarm["images_seen"], alarm["alarm"], alarm["state"], alarm["action"]) == (
        *(288, "exploding_gradients"),
        *("begun", "stop"),
    )
    assert alarm["quantity"] == "critic_gradient_norm"
    assert alarm["value"] == entries[-1]["critic_gradient_norm"] > alarm["bound"] == 1000.0
    assert text.getvalue().count(rule) == 1
    [saved] = checkpoints.all_in(tmp_path)
    assert saved.position.images_seen == 192
    # Two readings are against it already: a resumed run needs one more.
    assert saved.alarms["exploding_gradients"].against == 2
    events = EventAccumulator(str(tmp_path / "events"), size_guidance={"tensors": 0}).Reload()
    standing = events.Tensors("alarms/exploding_gradients")
    assert [(e.step, tf.make_ndarray(e.tensor_proto)) for e in standing] == [
        (96, 0.0),
        (192, 0.0),
        (288, 1.0),
    ]
    [told] = events.Tensors("alarms")
    assert rule in tf.make_ndarray(told.tensor_proto).item().decode()


def test_a_slowed_step_is_a_loss_of_throughput(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slowed(Idle):
        def __call__(self, batches: Any, images_seen: int, alpha: float) -> Any:
            if images_seen >= 640:
                time.sleep(0.15)
            return super().__call__(batches, images_seen, alpha)

    monkeypatch.setattr(phase_task, "SynthesisStep", Slowed)
    config = faulty(
        tiny,
        None,
        schedule={"hold_images": 768},
        run={"log_images": 32},
        alarms={"throughput": "warn"},
    )
    told = train(config, tmp_path)
    assert ("throughput", "begun") in told.alarms
    assert told.standing["throughput"]


def test_a_slowed_dataset_is_starvation_and_one_that_stands_still_is_told_at_once(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = batches.dataset_for

    one_by_one = threading.Lock()  # tf.data would do several at a time

    def dawdle(number: Any) -> Any:
        with one_by_one:
            time.sleep(1.2 if number == 12 else 0.05)
        return number

    def slowed(*arguments: Any, **options: Any) -> tf.data.Dataset:
        def wait(number: Any, batch: Any) -> Any:
            slow = tf.numpy_function(dawdle, [number], tf.int64)
            with tf.control_dependencies([slow]):
                return {name: tf.identity(values) for name, values in batch.items()}

        return quick(*arguments, **options).enumerate().map(wait)

    monkeypatch.setattr(batches, "dataset_for", slowed)
    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    alarms = {"starvation": "warn", "starvation_seconds": 0.4}
    config = faulty(
        tiny, None, schedule={"hold_images": 256}, run={"log_images": 32}, alarms=alarms
    )
    lines = JsonLines(tmp_path / "metrics.jsonl")
    told = train(config, tmp_path, lines)
    assert told.starved_for
    assert ("starvation", "begun") in told.alarms
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert max(entry.get("data_wait", 0.0) for entry in entries) > 0.5
