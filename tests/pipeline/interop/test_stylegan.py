"""The official StyleGAN in our terms, and what of it ours is not equal to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from layers.equalized import EqualizedConv2D
from pipeline.errors import UserError
from pipeline.families.official.pickles import read_networks
from pipeline.families.official.rules import translate
from pipeline.families.official.settings import settings_of
from pipeline.families.stylegan.official_weights import PARTS, StyleganSettings, weight_rules
from pipeline.interop.importing import import_weights
from pipeline.interop.official import load_official, read_snapshot
from pipeline.training_run.networks import SavedNetworks

SIZES = {"num_channels": 3, "resolution": 256}
LABELLED = "stylegan_16_lod0.4_labels"


def assert_close(ours: Any, official: np.ndarray) -> None:
    """Within 1e-4 of the largest absolute value."""
    difference = np.abs(np.asarray(ours) - official).max()
    assert difference <= 1e-4 * np.abs(official).max()


@pytest.mark.parametrize("name", ["stylegan_16_lod0", LABELLED])
def test_official_files_give_official_results(name: str, shared_folder: Path) -> None:
    file = shared_folder / "golden" / f"{name}.pkl"
    models = load_official(file)
    arrays = np.load(file.with_suffix(".npz"), allow_pickle=False)

    def inputs(key: str) -> Any:
        first = arrays[key].transpose(0, 2, 3, 1) if arrays[key].ndim == 4 else arrays[key]
        return [first, arrays["in/labels"]] if arrays["in/labels"].size else first

    official = arrays["out/img"].transpose(0, 2, 3, 1)
    for generator in (models.generator, models.average):
        assert_close(generator(inputs("in/latents")), official)
    scores = models.discriminator(inputs("in/images"))["scores"]
    assert scores.shape == (8, 1)
    assert_close(scores, arrays["out/scores"])


def test_the_mean_of_styles_is_kept(shared_folder: Path, tmp_path: Path) -> None:
    file = shared_folder / "golden" / f"{LABELLED}.pkl"
    mean = read_networks(file)[2].variables["dlatent_avg"]
    run = import_weights(file, tmp_path / "run")
    average = SavedNetworks(run, run.newest_checkpoint()).average()
    np.testing.assert_array_equal(average.get_layer("average_truncation").mean, mean)
    assert run.config().network.mixing == 0.9
    assert run.newest_checkpoint().position.images_seen == 600_000 + 360_000


def official_up(x: np.ndarray, weight: np.ndarray) -> Any:
    """What the official fused convolution computes, (rows, columns, in, out) to (…, out)."""
    rows, columns, inputs, outputs = weight.shape
    scaled = weight.transpose(0, 1, 3, 2) * np.sqrt(2 / (rows * columns * inputs))
    padded = np.pad(scaled, ((1, 1), (1, 1), (0, 0), (0, 0)))
    summed = padded[1:, 1:] + padded[:-1, 1:] + padded[1:, :-1] + padded[:-1, :-1]
    size = (len(x), 2 * x.shape[1], 2 * x.shape[2], outputs)
    return tf.nn.conv2d_transpose(x, summed, size, strides=2, padding="SAME")


def official_up_unfused(x: np.ndarray, weight: np.ndarray) -> Any:
    rows, columns, inputs, _ = weight.shape
    scaled = weight * np.sqrt(2 / (rows * columns * inputs))
    return tf.nn.conv2d(x.repeat(2, 1).repeat(2, 2), scaled, strides=1, padding="SAME")


@pytest.mark.parametrize(
    ("side", "fused_scale", "official"),
    [
        (64, "auto", official_up_unfused),
        (128, "auto", official_up),
        (256, "auto", official_up),
        (16, True, official_up),
        (256, False, official_up_unfused),
    ],
)
def test_kernels_are_mirrored_where_the_official_code_fuses(
    side: int, fused_scale: Any, official: Callable[..., Any]
) -> None:
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(3, 3, 4, 5)).astype("f4")
    images = generator.normal(size=(2, 6, 6, 4)).astype("f4")
    settings = settings_of(StyleganSettings, {**SIZES, "fused_scale": fused_scale})
    up = f"synthesis/{side}x{side}/Conv0_up/weight"
    name, kernel = translate(up, weight, weight_rules(settings))
    assert name == f"{side}x{side}_conv0/kernel"
    layer = EqualizedConv2D(5, 3, resample="up", use_bias=False)
    layer.build(images.shape)
    layer.kernel.assign(kernel)
    assert_close(layer(images), official(images, weight).numpy())


def test_kernels_that_reduce_are_as_they_are() -> None:
    settings = settings_of(StyleganSettings, {**SIZES, "fused_scale": True})
    rules, weight = weight_rules(settings), np.arange(9.0).reshape(3, 3, 1, 1)
    for name in ("256x256/Conv1_down/weight", "256x256/Conv0/weight", "synthesis/8x8/Conv1/weight"):
        np.testing.assert_array_equal(translate(name, weight, rules)[1], weight)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use_styles": False}, "with styles instance norm alone"),
        ({"use_pixel_norm": True}, "with styles instance norm alone"),
        ({"blur_filter": [1, 3, 3, 1]}, "[1, 2, 1] or none. Received: [1, 3, 3, 1]"),
        ({"mapping_fmaps": 256}, "`dlatent_size`. Received: 256 and 512"),
        ({"nonlinearity": "relu"}, "`nonlinearity`"),
        ({"mapping_nonlinearity": "relu"}, "`mapping_nonlinearity`"),
        ({"normalize_latents": False}, "`normalize_latents`"),
        ({"mbstd_num_features": 2}, "`mbstd_num_features`"),
        ({"fused_scale": "never"}, "`fused_scale`"),
        ({"mapping_lrmul": 0}, "`mapping_lrmul`"),
        ({"architecture": "skip"}, "must have known names. Received: architecture"),
    ],
)
def test_settings_that_ours_do_not_have_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        settings_of(StyleganSettings, {**SIZES, **settings})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_styles": False, "use_instance_norm": False, "use_pixel_norm": True},
        {"blur_filter": None},
        {"blur_filter": [1, 2, 1], "style_mixing_prob": None, "truncation_psi": 0.5},
        {"mapping_layers": 1, "mapping_fmaps": 64},
    ],
)
def test_settings_that_ours_have_are_taken(settings: dict[str, Any]) -> None:
    settings_of(StyleganSettings, {**SIZES, **settings})


@pytest.mark.parametrize(
    "name",
    ["synthesis/8x8/Conv2/weight", "8x8/Conv1", "mapping/Dense/weight", "a", "synthesis/noisy",
     "synthesis/8x8/Conv1/Noise/bias", "synthesis/8x8/Conv1/gain", "FromRGB_lod0/scale"],
)  # fmt: skip
def test_unknown_variables_are_refused(name: str) -> None:
    with pytest.raises(LookupError):
        translate(name, np.ones(1), weight_rules(settings_of(StyleganSettings, SIZES)))


@pytest.mark.parametrize("change", ["functions", "settings", "none"])
def test_parts_must_be_those_of_stylegan(
    shared_folder: Path,
    write_networks: Callable[..., Path],
    network_class: Callable[..., Any],
    change: str,
) -> None:
    made = network_class("dnnlib.tflib.network.Network")

    def state(network: Any, **changes: Any) -> dict[str, Any]:
        own = [each for each in network.variables.items() if each[0].split("/")[0] not in PARTS]
        return {
            "build_func_name": network.function,
            "static_kwargs": dict(network.settings),
            "variables": own,
            "components": {n: made(state(part)) for n, part in network.parts.items()},
            **changes,
        }

    generator, discriminator, average = read_networks(
        shared_folder / "golden" / "stylegan_16_lod0.pkl"
    )
    states = [state(generator), state(discriminator), state(average)]
    path = "dnnlib.tflib.network.Network"
    assert read_snapshot(write_networks(states, path=path)).network.family == "stylegan"
    part = states[0]["components"]["mapping"].state
    if change == "functions":
        part["build_func_name"] = "G_other"
    elif change == "settings":
        part["static_kwargs"]["normalize_latents"] = True
        part["static_kwargs"]["mapping_lrmul"] = 0.1
    else:
        states[0]["components"] = {}
    with pytest.raises(UserError, match="Received: others"):
        read_snapshot(write_networks(states, path=path))
