"""The official ProGAN in our terms, and what of it ours is not equal to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from layers.equalized import EqualizedConv2D
from pipeline.errors import UserError
from pipeline.families.official.growing import detail_at
from pipeline.families.official.rules import translate
from pipeline.families.progan.official_weights import RULES
from pipeline.interop.official import load_official, official_models, read_snapshot

States = Callable[..., list[dict[str, Any]]]
Write = Callable[..., Path]
RESULTS = ["progan_16_lod0", "progan_16_lod0.4", "progan_16_labels"]


def assert_close(ours: Any, official: np.ndarray) -> None:
    """Within 1e-4 of the largest absolute value."""
    difference = np.abs(np.asarray(ours) - official).max()
    assert difference <= 1e-4 * np.abs(official).max()


def reduced(images: np.ndarray, factor: int) -> np.ndarray:
    count, height, width, channels = images.shape
    blocks = (count, height // factor, factor, width // factor, factor, channels)
    return images.reshape(blocks).mean((2, 4))


@pytest.mark.parametrize("name", RESULTS)
def test_official_files_give_official_results(name: str, shared_folder: Path) -> None:
    file = shared_folder / "golden" / f"{name}.pkl"
    models = load_official(file)
    arrays = np.load(file.with_suffix(".npz"), allow_pickle=False)
    latents, labels = arrays["in/latents"], arrays["in/labels"]
    inputs = [latents, labels] if labels.size else latents
    official = arrays["out/img"].transpose(0, 2, 3, 1)
    side = models.generator.output_shape[1]
    factor = official.shape[1] // side  # the official image is enlarged to the final size
    images = models.generator(inputs).numpy()
    assert images.dtype == np.float32
    assert_close(images, reduced(official, factor))
    assert_close(models.average(inputs), reduced(official, factor))
    outputs = models.discriminator(reduced(arrays["in/images"].transpose(0, 2, 3, 1), factor))
    if labels.size:
        assert_close(outputs["logits"], arrays["out/labels"])
    scores = outputs["scores"]
    assert scores.shape == (8, 1)
    assert_close(scores, arrays["out/scores"])


@pytest.mark.parametrize("label_size", [0, 3])
def test_a_file_gives_models_of_its_phase(write_progan: Write, label_size: int) -> None:
    models = load_official(write_progan(lod=0.25, label_size=label_size, latent_size=5))
    inputs = [np.ones((2, 5), "f4"), np.eye(2, label_size, dtype="f4")]
    images = models.generator(inputs if label_size else inputs[0])
    assert images.shape == (2, 8, 8, 3)
    assert [fade.alpha.numpy() for fade in map(fade_of, models_in(models))] == [0.75] * 3
    outputs = models.discriminator(images)
    sizes = {"scores": 1, **({"logits": 3} if label_size else {})}
    assert {name: values.shape[1] for name, values in outputs.items()} == sizes


def models_in(models: Any) -> list[Any]:
    return [models.generator, models.discriminator, models.average]


def fade_of(model: Any) -> Any:
    return next(layer for layer in model.layers if layer.name.endswith("_fade"))


def test_the_average_has_weights_of_its_own(write_progan: Write) -> None:
    models = load_official(write_progan())
    one, other = (model.get_layer(f"{name}_4x4_conv") for name, model in (
        ("generator", models.generator), ("average", models.average)))  # fmt: skip
    assert not np.allclose(one.kernel, other.kernel)


def official_up(x: np.ndarray, weight: np.ndarray) -> Any:
    """What the official fused convolution computes, (rows, columns, out, in) to (…, out)."""
    rows, columns, outputs, inputs = weight.shape
    scaled = weight * np.sqrt(2 / (rows * columns * inputs))
    padded = np.pad(scaled, ((1, 1), (1, 1), (0, 0), (0, 0)))
    summed = padded[1:, 1:] + padded[:-1, 1:] + padded[1:, :-1] + padded[:-1, :-1]
    size = (len(x), 2 * x.shape[1], 2 * x.shape[2], outputs)
    return tf.nn.conv2d_transpose(x, summed, size, strides=2, padding="SAME")


@pytest.mark.parametrize("fused", [False, True])
def test_the_official_fused_kernel_is_mirrored_in_ours(fused: bool) -> None:
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(3, 3, 5, 4)).astype("f4")
    images = generator.normal(size=(2, 6, 6, 4)).astype("f4")
    name, kernel = translate("8x8/Conv0_up/weight", weight, RULES)
    assert name == "8x8_conv0/kernel"
    layer = EqualizedConv2D(5, 3, resample="up", fused=fused)
    layer.build(images.shape)
    layer.kernel.assign(kernel)
    assert_close(layer(images), official_up(images, weight).numpy())


def test_both_forms_of_a_file_are_told_by_its_variables(write_progan: Write) -> None:
    assert read_snapshot(write_progan(fused=True)).network.fused
    assert not read_snapshot(write_progan(fused=False)).network.fused
    # What the settings say may be a default of the file's own source.
    assert not read_snapshot(write_progan(fused=False, fused_scale=True)).network.fused


def test_sizes_that_settings_leave_out_are_the_published_ones(progan_states: States) -> None:
    from pipeline.families.official.settings import settings_of
    from pipeline.families.progan.official_weights import ProganSettings

    settings = settings_of(ProganSettings, {"num_channels": 3, "resolution": np.int64(16)})
    assert (settings.fmap_base, settings.fmap_max, settings.latent_size) == (8192, 512, None)
    assert settings.resolution == 16


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use_pixelnorm": False}, "`use_pixelnorm` of an official network must be as ours: True"),
        ({"normalize_latents": 0}, "`normalize_latents`"),
        ({"use_wscale": False}, "`use_wscale`"),
        ({"use_leakyrelu": False}, "`use_leakyrelu`"),
        ({"pixelnorm_epsilon": 1e-4}, "`pixelnorm_epsilon`"),
        ({"fmap_decay": 0.5}, "`fmap_decay`"),
        ({"mbstd_group_size": 0}, "`mbstd_group_size`"),
        ({"num_channels": 4}, "`num_channels`"),
        ({"tanh_at_end": 1}, "must have known names. Received: tanh_at_end"),
        ({"a\nb": 1}, r"Received: a\nb"),
        (
            {"resolution": 48},
            "`resolution` of an official network must be as ours: must be a power",
        ),
        ({"resolution": 2048}, "`resolution`"),
        ({"resolution": None}, "`resolution`"),
        ({"resolution": [[8]]}, "plain values. Received: resolution"),
        ({"structure": np.ones(2)}, "plain values. Received: structure"),
    ],
)
def test_settings_that_ours_do_not_have_are_refused(
    progan_states: States, write_networks: Write, settings: dict[str, Any], says: str
) -> None:
    states = progan_states()
    for state in states:
        state["static_kwargs"] |= settings
    with pytest.raises(UserError) as caught:
        read_snapshot(write_networks(states))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_networks_that_do_not_belong_together_are_refused(
    progan_states: States, write_networks: Write
) -> None:
    generator, discriminator, average = progan_states()
    for states, says in (
        ([generator, progan_states(label_size=2)[1], average], "made for the same"),
        ([generator, discriminator, progan_states(fmap_max=7)[2]], "made for the same"),
        (
            [generator, progan_states(lod=1.0)[1], average],
            "level of detail but for the fade. Received: 0.0, 1.0, 0.0",
        ),
        (
            [generator, progan_states(lod=0.5)[1], average],
            "level of detail but for the fade. Received: 0.0, 0.5, 0.0",
        ),
        (
            [generator, generator, average],
            "those of ProGAN or StyleGAN. Received: G_paper, G_paper, G_paper",
        ),
        ([{**generator, "build_func_name": "networks.G_other"}, discriminator, average], "G_other"),
    ):
        with pytest.raises(UserError, match=says):
            read_snapshot(write_networks(states))


@pytest.mark.parametrize("lod", [-0.5, 1.5, float("nan"), float("inf")])
def test_levels_of_detail_that_networks_do_not_have_are_refused(
    write_progan: Write, lod: float
) -> None:
    with pytest.raises(UserError, match="must be from 0 to that of 4 px"):
        read_snapshot(write_progan(lod=lod))


def test_levels_of_detail() -> None:
    assert [detail_at(level, 16) for level in (0.0, 0.25, 1.0, 1.5, 2.0)] == [
        (16, False, 1.0), (16, True, 0.75), (8, False, 1.0), (8, True, 0.5), (4, False, 1.0)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "8x8/Conv2/weight",
            np.ones(3),
            "one of the official networks', in its shape. Received: 8x8/Conv2",
        ),
        ("8x8/Conv1/gain", np.ones(3), "one of the official"),
        ("synthesis/8x8/ToRGB/weight", np.ones(3), "one of the official"),
        ("8x8/Conv1.weight", np.ones(3), "one of the official"),
        ("4x4/Dense/weight", np.ones((6, 30)), "4x4/Dense/weight"),
        ("lod", np.ones(2), "must have the number `lod`"),
        ("8x8/Conv1/bias", np.ones(2), "generator_8x8_conv1/bias must have the shape"),
        ("8x8/Conv1/bias", None, "generator_8x8_conv1/bias must have the shape"),
        ("4x4/Conv/bias", np.full(8, np.nan), "finite. Received: generator_4x4_conv/bias"),
        ("8x8/Conv1/weight", None, "as many as their settings ask for"),
    ],
)
def test_variables_that_do_not_fit_are_refused(
    progan_states: States, write_networks: Write, name: str, value: Any, says: str
) -> None:
    states = progan_states()
    variables = dict(states[0]["variables"]) | {name: value}
    states[0]["variables"] = [(n, v) for n, v in variables.items() if v is not None]
    with pytest.raises(UserError) as caught:
        official_models(read_snapshot(write_networks(states)))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_alone_take_no_memory(progan_states: States, write_networks: Write) -> None:
    states = progan_states()
    for state in states:
        state["static_kwargs"] |= {"fmap_base": 2**20, "fmap_max": 2**20}
    with pytest.raises(UserError, match="as many as their settings ask for"):
        load_official(write_networks(states))
