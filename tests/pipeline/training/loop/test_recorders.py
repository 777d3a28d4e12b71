"""What a run leaves behind, and what of it a restart takes back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.data.prepare import records_for
from pipeline.training.loop import checkpoints
from pipeline.training.loop.recorders import JsonLines, SampleSheets, TensorBoard
from pipeline.training.synthesis import phase_task
from tests.pipeline.training.runs import Idle, entries_of, train, trainer_of


def test_a_run_leaves_metrics_samples_and_event_files(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = tiny(data={"labels": True}, schedule={"resolution": 4, "hold_images": 96})
    records = records_for(config.data, config.schedule.build().resolutions)
    log = tmp_path / "metrics.jsonl"
    listeners = [
        JsonLines(log),
        SampleSheets(tmp_path / "samples", config.schedule.resolution),
        TensorBoard(tmp_path / "tensorboard", config),
    ]
    trainer_of(config, records, tmp_path, listeners).train()

    entries = entries_of(log)
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
    assert (tmp_path / "samples" / "images-000000096.png").is_file()

    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    tags = set(events.Tags()["tensors"])
    assert {"critic_loss", "alpha", "samples", "reals", "config"} <= tags
    assert [event.step for event in events.Tensors("critic_loss")] == [
        entry["images_seen"] for entry in entries
    ]


@pytest.mark.parametrize("images_seen", [0, 16])
@pytest.mark.parametrize("torn", ['{"images_se', "\xff\xfe", "", "[]", "null"])
def test_lines_that_a_restart_writes_again_are_removed(
    tmp_path: Path, images_seen: int, torn: str
) -> None:
    log = tmp_path / "metrics.jsonl"
    lines: list[Any] = [json.dumps({"images_seen": images}) for images in (8, 16, 24)]
    log.write_bytes("\n".join([*lines, torn]).encode("latin-1"))
    JsonLines(log).started(images_seen, [])
    assert log.read_text().splitlines() == lines[: images_seen // 8]


def test_points_that_a_restart_writes_again_are_removed(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    config = tiny()
    folder = tmp_path / "tensorboard"

    def points(tag: str = "critic_loss") -> list[int]:
        events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
        return [event.step for event in events.Tensors(tag)]

    def writer() -> TensorBoard:
        return TensorBoard(folder, config)

    train(config, tmp_path, writer(), stop_after=20)
    before = points()
    assert before == [16, 32, 48, 64, 72, 80, 96, 112, 128, 144, 160]
    [file] = folder.iterdir()
    file.write_bytes(file.read_bytes() + b"torn off by a kill")
    *_, saved, newest = checkpoints.all_in(tmp_path)
    assert saved.position.images_seen == 128
    shutil.rmtree(newest.folder)
    train(config, tmp_path, writer(), stop_after=2)
    assert points() == [*before[:-2], 144]
    train(config, tmp_path, writer())
    # Each once, and those of a run that was never stopped.
    assert points() == [*before, 176, 192, 208, 224, 240, 256]
    # One of each size, and of a fade, whatever the restarts.
    assert points("reals") == points("config") == [16, 80, 176]
