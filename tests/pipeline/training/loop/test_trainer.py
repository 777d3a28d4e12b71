"""Whole runs: they end, and they stop when something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.data.prepare import records_for
from pipeline.errors import AlarmError, UserError
from pipeline.training.distributed.replicas import make_strategy
from pipeline.training.loop import checkpoints
from pipeline.training.loop.recorders import JsonLines
from pipeline.training.synthesis import phase_task
from tests.pipeline.training.runs import Idle, Recorder, entries_of, train, trainer_of, values_of
from tests.pipeline.training.steps import PLAIN


def test_a_run_goes_through_its_phases_and_ends(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    recorder = Recorder()
    position = train(tiny(), tmp_path, recorder)
    # A phase goes on to the first step that does not belong to it.
    assert recorder.phases == [("hold_4x4", 0), ("fade_8x8", 72), ("hold_8x8", 160)]
    assert recorder.stages == [(4, 72), (8, 256)]
    assert position.images_seen == 256
    assert recorder.logged_at[:3] == [16, 32, 48]
    assert recorder.logged_at[-1] == 256
    assert recorder.starts == [(0, [])]
    assert min(recorder.rates) >= 0.0
    assert train(tiny(), tmp_path, recorder) == position  # nothing is left to do
    assert recorder.starts == [(0, [])]


def test_a_run_without_a_whole_checkpoint_does_not_start_over(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    train(tiny(), tmp_path, stop_after=1)
    [only] = checkpoints.all_in(tmp_path)
    (only.folder / "state.json").write_text("{}")
    with pytest.raises(UserError, match="all its checkpoints are damaged"):
        train(tiny(), tmp_path)


def test_what_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny(objective=PLAIN, schedule={"learning_rate": {4: 0.001, 8: 1e30}})
    with pytest.raises(
        AlarmError, match=r"every tensor must be finite. Received: `generator_loss`"
    ) as caught:
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


def test_the_best_checkpoint_is_kept(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    kept = {"checkpoint_images": 16, "keep_checkpoints": 1, "keep_best": "generator_loss"}
    log = tmp_path / "metrics.jsonl"
    train(tiny(run=kept), tmp_path, JsonLines(log))
    # The metrics of a checkpoint are those of its step, and so are those of the entry there.
    entries = entries_of(log)
    # Of the last size alone, which is held from 160 on.
    held = [entry for entry in entries if entry["images_seen"] > 160]
    best = min(held, key=lambda entry: entry["generator_loss"])
    saved = [checkpoint.position.images_seen for checkpoint in checkpoints.all_in(tmp_path)]
    assert best["images_seen"] == 176
    assert saved == [176, 256]


def test_an_unknown_metric_to_keep_the_best_by_is_named(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    with pytest.raises(UserError, match=r"`run.keep_best` must be one of critic_.*eived: fid$"):
        train(tiny(run={"keep_best": "fid"}), tmp_path / "other")
    train(tiny(), tmp_path / "other", stop_after=1)
    with pytest.raises(UserError, match=r"`run.keep_best` must be one of"):
        train(tiny(run={"keep_best": "fid"}), tmp_path / "other")


def test_a_damaged_record_stops_a_run_in_one_line(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    config = tiny(data={"records": tmp_path / "records"})
    records = records_for(config.data, config.schedule.build().resolutions)
    [file] = records.files(4)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"`growgan data verify`.*corrupted record") as caught:
        trainer_of(config, records, tmp_path / "run", []).train()
    assert "\n" not in str(caught.value)


def test_each_critic_step_takes_the_next_batch_and_counts_its_images(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, list[tuple[int, bytes]]] = {}

    class Recording(Idle):
        def __call__(self, taken: Any, images_seen: int, alpha: float) -> Any:
            images = [bytes(batch["images"].numpy()) for batch in taken]
            first = range(images_seen, images_seen + 8 * len(taken), 8)
            seen[steps] += zip(first, images, strict=True)
            return {}

    monkeypatch.setattr(phase_task, "SynthesisStep", Recording)
    for steps in (1, 2):
        seen[steps] = []
        config = tiny(
            objective={"critic_steps": steps},
            schedule={"resolution": 4, "hold_images": 96, "fade_images": 0},
        )
        records = records_for(config.data, config.schedule.build().resolutions)
        position = trainer_of(config, records, tmp_path / str(steps), []).train()
        assert position.images_seen == 96
    assert len(seen[1]) == 12
    assert seen[1] == seen[2]
