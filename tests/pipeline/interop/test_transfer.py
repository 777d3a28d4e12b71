"""Runs that start from the weights of others: what is taken over, and what is made anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.interop.transfer import origin_of, write_first_checkpoint
from pipeline.loading import load
from pipeline.training.loop import checkpoints
from pipeline.training.position import Position
from pipeline.training.synthesis.state import TrainingState
from pipeline.training_run.folder import RunFolder
from pipeline.training_run.networks import SavedNetworks

SMALL = ("schedule.resolution=8", "network.fmap_max=8", "network.latent_size=6")
ONE_SIZE = (*SMALL, "schedule.start_resolution=8")
HEADS = [
    "generator_4x4_dense/kernel",
    "discriminator_4x4_dense1/bias",
    "discriminator_4x4_dense1/kernel",
    "average_4x4_dense/kernel",
]


def config_of(*overrides: str) -> Config:
    return load("quickstart", overrides)


def records(classes: int = 0) -> Any:
    names = tuple(map(str, range(classes)))
    return SimpleNamespace(data_hash="da7a", count=1, classes=names, skipped=())


def weights_of(models: Any) -> dict[str, np.ndarray]:
    return {
        f"{layer.name}/{weight.name}": weight.numpy()
        for model in (models.generator, models.discriminator, models.average)
        for layer in model.layers
        for weight in layer.weights
    }


def trained(path: Path, *overrides: str, classes: int = 0) -> tuple[RunFolder, Any]:
    """A run with a checkpoint in its last phase, and its weights."""
    config = config_of(*(overrides or SMALL), f"data.labels={bool(classes)}", "run.seed=5")
    run = RunFolder(path)
    run.start(config, records(classes), resume="never")
    phases = config.schedule.build().phases
    state = TrainingState(config, label_size=classes, strategy=tf.distribute.get_strategy())
    models = state.models_for(phases[-1])
    checkpoints.save(path, models.variables, Position(99, len(phases) - 1), {})
    return run, weights_of(models)


def started(path: Path, source: RunFolder, config: Config, classes: int = 0) -> RunFolder:
    run = RunFolder(path)
    run.start(config, records(classes), resume="never", first_weights=origin_of(source, config))
    write_first_checkpoint(run, classes)
    return run


def restored(run: RunFolder) -> dict[str, np.ndarray]:
    saved = SavedNetworks(run, run.newest_checkpoint())
    assert saved.checkpoint.position == Position(0, 0)
    models = SimpleNamespace(
        generator=saved.generator(),
        discriminator=saved.discriminator(),
        average=saved.average(),
    )
    return weights_of(models)


def test_a_run_starts_with_the_weights_of_another(tmp_path: Path) -> None:
    source, weights = trained(tmp_path / "source")
    run = started(tmp_path / "run", source, config_of(*ONE_SIZE))
    found = restored(run)
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(found[name], value)
    assert run.manifest()["first_weights"] == {
        "run": str(tmp_path / "source"), "images_seen": 99, "made_anew": []
    }  # fmt: skip
    assert run.export_lineage(0, ())["first_weights"]["images_seen"] == 99


@pytest.mark.parametrize(("before", "after"), [(0, 3), (2, 3), (2, 0)])
def test_what_depends_on_the_number_of_classes_is_made_anew(
    tmp_path: Path, before: int, after: int
) -> None:
    source, weights = trained(tmp_path / "source", classes=before)
    config = config_of(*ONE_SIZE, f"data.labels={bool(after)}")
    run = started(tmp_path / "run", source, config, classes=after)
    anew = run.manifest()["first_weights"]["made_anew"]
    assert sorted(anew) == sorted(HEADS)
    found = restored(run)
    for name in found.keys() - set(anew):
        np.testing.assert_array_equal(found[name], weights[name])


def test_what_was_killed_between_lineage_and_weights_is_made_up_for(tmp_path: Path) -> None:
    source, weights = trained(tmp_path / "source")
    config = config_of(*ONE_SIZE)
    run = RunFolder(tmp_path / "run")
    run.start(config, records(), resume="never", first_weights=origin_of(source, config))
    run.start(config, records(), resume="must")
    write_first_checkpoint(run, 0)
    name = "generator_4x4_conv/kernel"
    np.testing.assert_array_equal(restored(run)[name], weights[name])
    # Once there is a checkpoint, the source is not asked for again.
    (tmp_path / "source" / "config.yaml").unlink()
    write_first_checkpoint(run, 0)


def test_a_run_without_a_source_is_left_alone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.start(config_of(*SMALL), records(), resume="never")
    write_first_checkpoint(run, 0)
    assert checkpoints.all_in(run.path) == []


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (SMALL, "`schedule.start_resolution` must be that of the weights of `--from`, 8"),
        ((*ONE_SIZE, "network.fmap_max=16"), "same family and sizes"),
        ((*ONE_SIZE, "data.channels=3"), "same family and sizes"),
        ((*ONE_SIZE, "network.family=stylegan"), "same family and sizes"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, overrides: tuple[str, ...], says: str) -> None:
    source, _ = trained(tmp_path / "source")
    with pytest.raises(UserError, match=says):
        started(tmp_path / "run", source, config_of(*overrides))


def test_blocks_of_the_discriminator_can_stay_as_they_are() -> None:
    config = config_of(*ONE_SIZE, "optimizer.frozen_from=8")
    state = TrainingState(config, label_size=0, strategy=tf.distribute.get_strategy())
    models = state.models_for(config.schedule.build().phases[0])
    names = {weight.path.split("/")[-2] for weight in models.discriminator.trainable_variables}
    assert names == {f"discriminator_4x4_{part}" for part in ("conv", "dense0", "dense1")}
    assert len(models.generator.trainable_variables) == len(models.generator.weights)
    frozen = {layer.name for layer in models.discriminator.layers if not layer.trainable}
    assert {f"discriminator_8x8_{part}" for part in ("conv0", "conv1", "from_rgb")} <= frozen
    optimizer = models.discriminator_optimizer
    assert not any("8x8" in variable.path for variable in optimizer.variables)


@pytest.mark.parametrize("overrides", [SMALL, (*ONE_SIZE, "schedule.resolution=4")])
def test_only_runs_of_one_size_leave_blocks_as_they_are(overrides: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"frozen_from|start_resolution"):
        config_of(*overrides, "optimizer.frozen_from=8")
