"""Dumps of StyleGAN2's state in our terms, and what of them ours is not equal to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.families.stylegan2.official_weights import official_snapshot
from pipeline.interop.importing import config_of, import_weights
from pipeline.interop.official import load_official, official_models
from pipeline.training_run.networks import SavedNetworks

NAMES = ["stylegan2_16", "stylegan2_16_labels"]


@pytest.fixture(params=NAMES)
def golden(request: pytest.FixtureRequest, shared_folder: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared_folder / "golden" / f"{request.param}.npz", allow_pickle=False))


@pytest.fixture
def state(shared_folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a dump, with names of their own."""
    arrays = np.load(shared_folder / "golden" / f"{NAMES[1]}.npz", allow_pickle=False)
    return {n.removeprefix("var/"): arrays[n] for n in arrays.files if n.startswith("var/")}


def assert_close(ours: Any, official: np.ndarray) -> None:
    """Within 1e-4 of the largest absolute value."""
    assert ours.shape == official.shape
    difference = np.abs(np.asarray(ours) - official).max()
    assert difference <= 1e-4 * np.abs(official).max()


def test_dumps_give_official_results(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    # As a person would write it: the average alone, with points.
    dump = {
        name.removeprefix("var/").replace("G/", "G_ema.").replace("D/", "D."): value
        for name, value in golden.items()
        if name.startswith("var/")
    }
    np.savez(tmp_path / "a.npz", **dump)
    models = load_official(tmp_path / "a.npz")
    labels = golden["in/labels"]

    def inputs(first: np.ndarray) -> Any:
        return [first, labels] if labels.size else first

    images = golden["out/img_const_noise"].transpose(0, 2, 3, 1)
    for generator in (models.generator, models.average):
        assert_close(generator(inputs(golden["in/latents"])), images)
    reals = golden["in/images"].transpose(0, 2, 3, 1)
    assert_close(models.discriminator(inputs(reals))["scores"], golden["out/scores"])


def test_a_dump_becomes_a_run(shared_folder: Path, tmp_path: Path) -> None:
    file = shared_folder / "golden" / f"{NAMES[1]}.npz"
    run = import_weights(file, tmp_path / "run", overrides=["network.stddev_group=8"])
    assert run.newest_checkpoint().position.images_seen == 0
    config = run.config()
    assert (config.network.family, config.network.stddev_group) == ("stylegan2", 8)
    assert (config.schedule.start_resolution, config.schedule.resolution) == (16, 16)
    assert run.manifest()["data"]["classes"] == ["0", "1", "2", "3", "4"]
    arrays = np.load(file)
    average = SavedNetworks(run, run.newest_checkpoint()).average()
    images = average([arrays["in/latents"], arrays["in/labels"]])
    assert_close(images, arrays["out/img_const_noise"].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(
        average.get_layer("average_truncation").mean, arrays["var/G/mapping.w_avg"]
    )


def test_sizes_follow_from_shapes(state: dict[str, np.ndarray]) -> None:
    snapshot = official_snapshot(state)
    network = snapshot.network
    assert (network.latent_size, network.style_size, network.mapping_layers) == (24, 24, 3)
    assert (network.fmap_base, network.fmap_max, network.noise) == (128, 24, True)
    assert (snapshot.channels, snapshot.label_size, snapshot.final) == (3, 5, 16)
    assert config_of(snapshot, "stylegan2-ffhq1024", ["network.mixing=0.5"]).network.mixing == 0.5


def test_generator_and_average_are_told_apart(state: dict[str, np.ndarray]) -> None:
    name = "synthesis.b4.const"
    both = {**state, **{n.replace("G/", "G_ema/"): v for n, v in state.items() if n[:2] == "G/"}}
    both[f"G_ema/{name}"] = both[f"G/{name}"] + 1
    models = official_models(official_snapshot(both))
    const = both[f"G/{name}"].transpose(1, 2, 0)
    generator, average = (
        getattr(models, n).get_layer(f"{n}_4x4_constant").constant for n in ("generator", "average")
    )
    np.testing.assert_array_equal(generator, const)
    np.testing.assert_array_equal(average, const + 1)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("G/synthesis.b8.skip.weight", np.ones((1, 1)), "synthesis.b8.skip.weight, which they do"),
        ("G/synthesis.L0_36_512.weight", np.ones((1, 1)), "L0_36_512"),
        ("D/b8.fromrgb.weight", np.ones((24, 3, 1, 1)), "b8.fromrgb.weight, which they do not"),
        ("G/synthesis.b8.conv1/bias", np.ones(24), "synthesis.b8.conv1/bias, which they do not"),
        ("G/synthesis.b4.const", np.ones((2, 12, 4, 4)), "StyleGAN2's shape. Received: [2, 12"),
        (
            "D/b4.resample_filter",
            np.ones((4, 4)),
            "the filter [1, 3, 3, 1]. Received: another",
        ),
        (
            "D/b4.resample_filter",
            np.ones((2, 2)),
            "the filter [1, 3, 3, 1]. Received: another",
        ),
        ("G/mapping.fc0.weight", None, "of StyleGAN2's generator and discriminator"),
        ("G/synthesis.b8.conv1.weight", None, "of StyleGAN2's generator and discriminator"),
        ("G/synthesis.b4.conv1.weight", np.ones((7, 24, 3, 3)), "generator and discriminator"),
        ("G/synthesis.b16.conv1.noise_const", np.ones((8, 8)), "must have the shape"),
        ("G/synthesis.b16.conv1.noise_const", None, "must have the shape"),
        ("G/synthesis.b16.conv0.weight", np.ones((2, 2, 2)), "StyleGAN2's shape. Received: [2, 2"),
        (
            "D/mapping.fc2.weight",
            None,
            "as many layers as that of G, as ours have. Received: 2",
        ),
        ("D/b16.skip.weight", None, "as many as their settings ask for"),
        ("D/b16.conv0.bias", np.full(16, np.inf), "must be finite"),
    ],
)
def test_states_that_do_not_fit_are_refused(
    state: dict[str, np.ndarray], name: str, value: Any, says: str
) -> None:
    changed = {n: v for n, v in {**state, name: value}.items() if v is not None}
    with pytest.raises(UserError) as caught:
        official_models(official_snapshot(changed))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_state_without_noise(state: dict[str, np.ndarray]) -> None:
    silent = {n: v for n, v in state.items() if "noise_" not in n}
    snapshot = official_snapshot(silent)
    assert not snapshot.network.noise
    official_models(snapshot)
