"""Runs made of published weights: where they stand, and that they are runs like others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.interop.importing import import_weights, position_of
from pipeline.interop.official import load_official, read_snapshot
from pipeline.schedule import progressive
from pipeline.training_run.networks import SavedNetworks

Write = Callable[..., Path]
SMALL = ("schedule.hold_images={4: 64, 8: 96}", "schedule.fade_images=96")


@pytest.mark.parametrize(
    ("lod", "phase", "images_seen"),
    [
        (1.0, "hold_4x4", 0),
        (0.75, "fade_8x8", 64 + 24),
        (0.999, "fade_8x8", 64 + 1),
        (0.001, "fade_8x8", 64 + 95),
        (0.0, "hold_8x8", 64 + 96),
    ],
)
def test_the_clock_stands_where_the_level_of_detail_does(
    write_progan: Write, lod: float, phase: str, images_seen: int
) -> None:
    schedule = progressive(resolution=8, hold_images={4: 64, 8: 96}, fade_images=96)
    position = position_of(read_snapshot(write_progan(lod=lod)), schedule)
    assert position.images_seen == images_seen
    assert schedule.phases[position.phase].name == phase
    assert schedule.at(images_seen).index == position.phase


def test_a_schedule_without_the_phase_is_refused(write_progan: Write) -> None:
    for lod, schedule in (
        (1.0, progressive(resolution=8, start_resolution=8)),
        (0.0, progressive(resolution=8, hold_images={4: 8, 8: 0})),
        (0.5, progressive(resolution=8, fade_images=0)),
        (0.5, progressive(resolution=8, fade_images=1)),
    ):
        with pytest.raises(UserError, match="`schedule` must have a phase that"):
            position_of(read_snapshot(write_progan(lod=lod)), schedule)


@pytest.mark.parametrize("label_size", [0, 3])
def test_a_run_has_the_networks_of_its_file(
    write_progan: Write, tmp_path: Path, label_size: int
) -> None:
    file = write_progan(lod=0.25, label_size=label_size)
    run = import_weights(file, tmp_path / "run", overrides=SMALL)
    saved = SavedNetworks(run, run.newest_checkpoint())
    models = load_official(file)
    inputs: Any = np.random.default_rng(0).normal(size=(4, 6)).astype("f4")
    if label_size:
        inputs = [inputs, np.eye(4, label_size, dtype="f4")]
    images = models.average(inputs)
    np.testing.assert_array_equal(saved.average()(inputs), images)
    official, ours = models.discriminator(images), saved.discriminator()(images)
    assert ours.keys() == official.keys() == {"scores", *(["logits"] if label_size else [])}
    for name, values in official.items():
        np.testing.assert_array_equal(ours[name], values)


def test_the_lineage_names_the_file(write_progan: Write, tmp_path: Path) -> None:
    file = write_progan(label_size=3)
    run = import_weights(file, tmp_path / "run", overrides=SMALL)
    manifest = run.manifest()
    assert manifest["imported"] == {
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    assert manifest["data"]["hash"] is None
    assert manifest["data"]["classes"] == ["0", "1", "2"]
    exported = run.export_lineage(160, ())
    assert exported["imported"] == manifest["imported"]
    json.dumps(exported)


def test_what_the_file_decides_is_in_the_configuration(write_progan: Write, tmp_path: Path) -> None:
    file = write_progan(num_channels=1, latent_size=5, mbstd_group_size=2, fused=False)
    overrides = (*SMALL, "optimizer.beta_2=0.9", "run.seed=4")
    config = import_weights(file, tmp_path / "run", overrides=overrides, data="faces").config()
    network = config.network
    assert (network.latent_size, network.fmap_base, network.fmap_max) == (5, 32, 8)
    assert (network.stddev_group, network.fused) == (2, False)
    assert (config.data.channels, config.data.labels, config.schedule.resolution) == (1, False, 8)
    assert (config.optimizer.beta_2, config.run.seed, config.data.source) == (0.9, 4, "faces")
    assert config.objective.penalty_size == "final"  # as the official code measures it


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network.fmap_max", 16), ("network.fused", False), ("data.channels", 1),
        ("data.labels", True), ("schedule.resolution", 16),
    ],
)  # fmt: skip
def test_a_configuration_that_contradicts_the_file_is_refused(
    write_progan: Write, tmp_path: Path, key: str, value: Any
) -> None:
    with pytest.raises(UserError, match=f"`{key}` must be as in the file of weights"):
        import_weights(write_progan(), tmp_path / "run", overrides=[f"{key}={value}"])
    assert not (tmp_path / "run").exists()


def test_nothing_is_left_of_a_run_that_cannot_be_made(
    write_progan: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_progan()
    before = sorted(tmp_path.iterdir())

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.training_run.folder.RunFolder.start_imported", fail)
    with pytest.raises(UserError, match=r"`--out` must be writable.*No space left"):
        import_weights(file, tmp_path / "run")
    assert sorted(tmp_path.iterdir()) == before


def test_an_existing_folder_is_refused(write_progan: Write, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`--out` must be a new folder"):
        import_weights(write_progan(), tmp_path)


@pytest.mark.parametrize("suffix", ["pth", "pt"])
def test_files_of_pytorch_are_not_opened(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UserError, match="bias for each of the first 16 pixels") as caught:
        import_weights(tmp_path / f"celebaHQ.{suffix}", tmp_path / "run")
    assert "\n" not in str(caught.value)
