"""`growgan train`: what it leaves behind, goes on with, and refuses."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cli.options import load_tensorflow
from pipeline.training.synthesis import phase_task
from pipeline.training_run.folder import RunFolder
from tests.pipeline.cli.commands import TINY, Growgan
from tests.pipeline.training.runs import Idle


def test_training_says_where_everything_is(workspace: Path) -> None:
    text = (workspace / "out.txt").read_text()
    run = workspace / "run"
    assert f"{run}/samples/images-000000256.png" in text
    assert f"{run}/savedmodels/8x8/256" in text
    assert f"{run}/tensorboard" in text
    assert f"A trace is in {run}/profile" in text
    assert f"growgan generate {run}" in text
    assert "fade_8x8: 96/256 images" in text
    for name in (
        "samples/images-000000256.png",
        "savedmodels/4x4/72/saved_model.pb",
        "savedmodels/8x8/256/saved_model.pb",
        "config.yaml",
        "metrics.jsonl",
    ):
        assert (run / name).is_file(), name


def test_the_manifest_is_the_lineage(workspace: Path) -> None:
    manifest = json.loads((workspace / "run" / "manifest.json").read_text())
    assert manifest["exports"] == ["savedmodels/4x4/72", "savedmodels/8x8/256"]
    assert manifest["images_seen"] == 256
    assert manifest["data"]["count"] == 1797
    assert len(manifest["data"]["hash"]) == len(manifest["config_hash"]) == 64
    beside = workspace / "run" / "savedmodels" / "8x8" / "256" / "assets.extra" / "manifest.json"
    exported = json.loads(beside.read_text())
    assert exported["config_hash"] == manifest["config_hash"]
    assert exported["images_seen"] == 256


def test_a_finished_run_can_be_resumed_and_has_nothing_to_do(
    growgan: Growgan, workspace: Path
) -> None:
    records = f"data.records={workspace / 'records'}"
    result = growgan(
        "train", *TINY, "--set", records, "--out", workspace / "run", "--resume", "auto"
    )
    assert result.status == 0
    assert "The run is finished: 256 images." in result.out
    assert "SavedModel" in result.out


def test_a_run_that_must_be_there_is_missed(
    growgan: Growgan, workspace: Path, tmp_path: Path
) -> None:
    records = f"data.records={workspace / 'records'}"
    out = tmp_path / "run"
    result = growgan("train", *TINY, "--set", records, "--out", out, "--resume", "must")
    assert result.status == 2
    assert f"`--resume must` needs a run in `--out`. Received: {out}, which" in result.err
    assert not out.exists()


def test_two_processes_do_not_train_one_run(growgan: Growgan, workspace: Path) -> None:
    command = ["train", *TINY, "--set", f"data.records={workspace / 'records'}"]
    with RunFolder(workspace / "run").alone("trained"):
        result = growgan(*command, "--out", workspace / "run", "--resume", "auto")
    assert result.status == 2
    assert "a run is trained by one process at a time" in result.err
    assert result.err.count("\n") == 1


def test_resuming_with_another_configuration_lists_what_differs(
    growgan: Growgan, workspace: Path
) -> None:
    run = workspace / "run"
    result = growgan(
        "train", *TINY, "--set", f"data.records={workspace / 'records'}", "--out", run,
        "--resume", "auto", "--set", "run.seed=9", "--set", "network.latent_size=16",
    )  # fmt: skip
    assert result.status == 2
    assert "network.latent_size: 8 → 16; run.seed: 0 → 9" in result.err


def test_a_new_run_does_not_overwrite_an_old_one(growgan: Growgan, workspace: Path) -> None:
    before = (workspace / "run" / "config.yaml").read_bytes()
    result = growgan(
        "train", *TINY, "--set", f"data.records={workspace / 'records'}", "--out",
        workspace / "run",
    )  # fmt: skip
    assert result.status == 2
    assert "--resume" in result.err
    assert (workspace / "run" / "config.yaml").read_bytes() == before


def _folder_with(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, name in enumerate(names):
        if name.startswith("bad"):
            (folder / name).write_bytes(b"no picture")
        else:
            pixels = np.full((9, 7 + index, 3), index * 9, np.uint8)
            Image.fromarray(pixels).save(folder / name)
    return folder


def test_replicas_that_cannot_share_a_batch_leave_no_run(python: str, tmp_path: Path) -> None:
    """In a process of its own, which divides the CPU into three devices."""
    command = (
        python, "-m", "pipeline.cli", "train", "--config", "quickstart",
        "--set", "run.strategy=mirrored", "--set", "run.replicas=3",
    )  # fmt: skip
    result = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "`schedule.batch_size` must divide by the replicas" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--config", "progan-mnist32")])
def test_colour_is_not_turned_grey_because_a_preset_is_for_grey_pictures(
    growgan: Growgan, tmp_path: Path, more: tuple[str, ...]
) -> None:
    for number, colour in enumerate(("red", "green", "blue", "white")):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(tmp_path / "photos" / f"{number}.png")
    options = ("--data", tmp_path / "photos", "--out", tmp_path / "run", *more)
    result = growgan("train", "--config", "quickstart", *options)
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert "pass `--set data.channels=3` to keep colours" in result.err
    assert not (tmp_path / "run").exists()


def test_an_empty_folder_is_refused(growgan: Growgan, tmp_path: Path) -> None:
    empty = _folder_with(tmp_path)
    result = growgan("train", *TINY, "--data", empty, "--out", tmp_path / "run")
    assert result.status == 2
    assert str(empty) in result.err
    assert result.err.count("\n") == 1


def test_a_corrupt_picture_is_named_and_fatal_or_skipped(
    growgan: Growgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    folder = _folder_with(tmp_path, *(f"{i}.png" for i in range(9)), "bad.jpg")
    command = ["train", *TINY, "--data", folder, "--set", f"data.records={tmp_path / 'records'}"]
    refused = growgan(*command, "--out", tmp_path / "run")
    assert refused.status == 2
    assert "bad.jpg" in refused.err
    assert "1 of 10" in refused.err
    assert not (tmp_path / "run").exists()
    skipped = growgan(
        *command, "--set", "data.on_corrupt=skip", "--set", "schedule.resolution=4",
        "--set", "schedule.hold_images=8", "--out", tmp_path / "run",
    )  # fmt: skip
    assert skipped.status == 0
    assert "1 skipped as unreadable: bad.jpg" in skipped.out


def test_a_folder_with_other_files_is_no_place_for_a_run(
    growgan: Growgan, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "precious.txt").write_text("x")
    records = f"data.records={workspace / 'records'}"
    result = growgan("train", *TINY, "--set", records, "--out", tmp_path)
    assert result.status == 2
    assert "must be a new or empty folder" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious.txt"]


def test_a_start_that_was_killed_can_be_repeated(
    growgan: Growgan, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase_task, "SynthesisStep", Idle)
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / ".config.yaml.0123abcd.tmp").write_text("half")
    records = f"data.records={workspace / 'records'}"
    short = ["schedule.resolution=4", "schedule.hold_images=8"]
    command = ["train", *TINY, "--set", records, "--out", tmp_path]
    assert growgan(*command, *(word for key in short for word in ("--set", key))).status == 0
    assert json.loads((tmp_path / "manifest.json").read_text())["images_seen"] == 8
    assert not list(tmp_path.rglob(".*.tmp"))


def test_tensorflow_writes_no_warnings_of_its_own_among_the_lines() -> None:
    load_tensorflow()
    assert not logging.getLogger("tensorflow").isEnabledFor(logging.WARNING)
