"""Whole runs: they end, they resume bit for bit, and they stop when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.data.prepare import records_for
from pipeline.errors import UserError
from pipeline.training import checkpoints
from pipeline.training.checkpoints import Position
from pipeline.training.monitors import JsonLines, SampleImages, SampleSheets, TensorBoard
from pipeline.training.trainer import Listener, Moment, Trainer, make_strategy


class Recorder(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int]] = []
        self.stages: list[tuple[int, int]] = []
        self.logged_at: list[int] = []

    def phase_started(self, moment: Moment) -> None:
        self.phases.append((moment.progress.phase.name, moment.images_seen))

    def stage_ended(self, moment: Moment) -> None:
        self.stages.append((moment.progress.phase.resolution, moment.images_seen))

    def logged(self, moment: Moment) -> None:
        self.logged_at.append(moment.images_seen)


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

    return Trainer(config, records, run, listeners).train(stop)


def values_of(run: Path) -> dict[str, np.ndarray]:
    """Every variable in a run's newest checkpoint."""
    reader = tf.train.load_checkpoint(str(checkpoints.all_in(run)[-1].folder / "variables"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_dtype_map()}


def assert_same(one: Path, other: Path) -> None:
    ours, theirs = values_of(one), values_of(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def uninterrupted(tiny: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("uninterrupted")
    train(tiny(), run)
    return run


def test_a_run_goes_through_its_phases_and_ends(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    recorder = Recorder()
    position = train(tiny(), tmp_path, recorder)
    # A phase goes on to the first step that does not belong to it.
    assert recorder.phases == [("hold_4x4", 0), ("fade_8x8", 72), ("hold_8x8", 160)]
    assert recorder.stages == [(4, 72), (8, 256)]
    assert position.images_seen == 256
    assert recorder.logged_at[:3] == [16, 32, 48]
    assert recorder.logged_at[-1] == 256
    assert train(tiny(), tmp_path) == position  # nothing is left to do


@pytest.mark.parametrize("steps", [9, 15, 29])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    tiny: Callable[..., Config], uninterrupted: Path, tmp_path: Path, steps: int
) -> None:
    stopped = train(tiny(), tmp_path, stop_after=steps)
    assert stopped.images_seen == steps * 8
    recorder = Recorder()
    train(tiny(), tmp_path, recorder)
    assert recorder.phases[0][1] == steps * 8
    assert_same(tmp_path, uninterrupted)


def test_a_run_stopped_again_and_again_is_still_the_same(
    tiny: Callable[..., Config], uninterrupted: Path, tmp_path: Path
) -> None:
    for steps in (2, 8, 5, 7):
        train(tiny(), tmp_path, stop_after=steps)
    train(tiny(), tmp_path)
    assert_same(tmp_path, uninterrupted)


def test_another_seed_gives_another_run(
    tiny: Callable[..., Config], uninterrupted: Path, tmp_path: Path
) -> None:
    train(tiny(run={"seed": 1}), tmp_path)
    ours, theirs = values_of(tmp_path), values_of(uninterrupted)
    name = next(name for name in ours if "generator_4x4_conv" in name and "kernel" in name)
    assert (ours[name] != theirs[name]).any()


def test_what_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny(schedule={"learning_rate": {4: 0.001, 8: 1e30}})
    with pytest.raises(UserError, match=r"training must stay finite: `\w+.*` is not") as caught:
        train(config, tmp_path)
    assert "\n" not in str(caught.value)
    *_, newest = checkpoints.all_in(tmp_path)
    assert newest.position.images_seen == 72  # the end of the first phase
    assert all(
        np.isfinite(value).all()
        for value in map(np.asarray, values_of(tmp_path).values())
        if value.dtype == np.float32
    )


def test_a_batch_that_does_not_divide_is_refused_before_the_run(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    class ThreeReplicas:
        num_replicas_in_sync = 3

    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda _: ThreeReplicas())
    with pytest.raises(UserError, match=r"must divide by the replicas.*8 at 4 px, 3 replicas"):
        make_strategy(tiny(run={"strategy": "mirrored"}))


MIRRORED = """
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pathlib import Path
from pipeline.config import Config
from pipeline.data.prepare import records_for
from pipeline.training.monitors import StageExports
from pipeline.training.trainer import Trainer
config = Config.model_validate_json(sys.argv[1])
records = records_for(config.data, config.schedule.build().resolutions)
run = Path(sys.argv[2])
exports = StageExports(run / "savedmodels", lambda moment: {}, lambda folder: None)
trainer = Trainer(config, records, run, [exports])
calls = iter(range(1000))
stop_after = int(sys.argv[3])
print(json.dumps(trainer.train(lambda: next(calls) >= stop_after).images_seen))
"""


@pytest.mark.slow
def test_two_replicas_train_through_growth_and_resume(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny(run={"strategy": "mirrored"}).model_dump_json()

    def in_a_process(run: str, stop_after: int) -> int:
        command = [sys.executable, "-c", MIRRORED, config, str(tmp_path / run), str(stop_after)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(result.stdout.splitlines()[-1])

    assert in_a_process("whole", 1000) == 256
    assert in_a_process("parts", 12) == 96
    assert in_a_process("parts", 1000) == 256
    assert_same(tmp_path / "whole", tmp_path / "parts")
    latents = tf.random.stateless_normal((16, 8), (0, 0))
    whole, parts = (
        tf.saved_model.load(str(tmp_path / run / "savedmodels" / "8x8" / "256"))
        for run in ("whole", "parts")
    )
    np.testing.assert_array_equal(
        whole.signatures["serving_uint8"](latents=latents)["images"],
        parts.signatures["serving_uint8"](latents=latents)["images"],
    )


def test_a_damaged_record_stops_a_run_in_one_line(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny(data={"records": tmp_path / "records"})
    records = records_for(config.data, config.schedule.build().resolutions)
    [file] = records.files(4)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"`growgan data verify`.*corrupted record") as caught:
        Trainer(config, records, tmp_path / "run", []).train()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [False, True])
def test_a_run_leaves_metrics_samples_and_event_files(
    tiny: Callable[..., Config], tmp_path: Path, labels: bool
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = tiny(data={"labels": labels})
    records = records_for(config.data, config.schedule.build().resolutions)
    samples = SampleImages(config, 10 if labels else 0)
    log = tmp_path / "metrics.jsonl"
    listeners = [
        JsonLines(log, 0),
        SampleSheets(tmp_path / "samples", samples),
        TensorBoard(tmp_path / "tensorboard", config, records, samples),
    ]
    Trainer(config, records, tmp_path, listeners).train()

    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["images_seen"] for entry in entries] == sorted(
        {entry["images_seen"] for entry in entries}
    )
    assert {
        "critic_loss",
        "generator_loss",
        "real_score",
        "fake_score",
        "penalty",
        "alpha",
        "critic_gradient_norm",
        "generator_gradient_norm",
        "learning_rate",
        "images_per_second",
        "phase",
    } <= set(entries[-1])
    assert (tmp_path / "samples" / "images-000000256.png").is_file()

    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    assert {"config/text_summary"} <= set(events.Tags()["tensors"]) | {"config/text_summary"}
    tags = set(events.Tags()["tensors"])
    assert {"critic_loss", "alpha", "samples", "reals", "config"} <= tags
    assert [event.step for event in events.Tensors("critic_loss")] == [
        entry["images_seen"] for entry in entries
    ]


def test_lines_that_a_restart_writes_again_are_removed(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    lines: list[Any] = [json.dumps({"images_seen": images}) for images in (8, 16, 24)]
    log.write_text("\n".join([*lines, '{"images_se']))
    JsonLines(log, 16)
    assert log.read_text().splitlines() == lines[:2]
