"""StyleGAN in each configuration of the paper's table 1."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.families.family import family_of
from pipeline.families.stylegan.networks import Generator
from tests.pipeline.families.stylegan_cases import (
    SMALL,
    TABLE_1,
    named,
    normal,
    relative,
    with_normal_weights,
)

KINDS = ("kernel", "bias")


def test_each_row_of_table_1_adds_its_own_weights() -> None:
    weights = {
        row: named(family_of(config).generator(config, channels=3).model(8, fading=False))
        for row, config in TABLE_1.items()
    }
    layers = ("4x4_{}", "4x4_conv", "8x8_conv0", "8x8_conv1")
    shapes = {
        row: {name.replace("_bias/bias", "/bias"): tuple(w.shape) for name, w in found.items()}
        for row, found in weights.items()
    }
    assert shapes["B"] == shapes["A"] | {"truncation/mean": (SMALL["latent_size"],)}
    assert weights["B"].keys() <= weights["C"].keys()
    assert weights["C"].keys() - weights["B"].keys() == {
        *(f"mapping_dense{k}/{kind}" for k in (0, 1) for kind in KINDS),
        *(f"{layer}_style/{kind}".format("dense") for layer in layers for kind in KINDS),
    }
    first = ("_bias/bias", "_style/kernel", "_style/bias")
    assert weights["D"].keys() - weights["C"].keys() == {
        "4x4_constant/constant",
        *(f"4x4_constant{name}" for name in first),
    }
    assert weights["C"].keys() - weights["D"].keys() == {
        "4x4_dense/kernel",
        *(f"4x4_dense{name}" for name in first),
    }
    assert weights["E"].keys() - weights["D"].keys() == {
        *(f"{layer}_noise/strength".format("constant") for layer in layers),
        *(f"noise_{side}x{side}_{k}/map" for side in (4, 8) for k in (0, 1)),
    }
    assert weights["D"].keys() <= weights["E"].keys() == weights["F"].keys()
    assert (TABLE_1["E"].mixing, TABLE_1["F"].mixing) == (0.0, 0.9)


@pytest.mark.parametrize(
    ("row", "label_size", "styles", "noise"),
    [
        ("B", 0, (None, 1, 6), []),
        ("B", 2, (None, 1, 12), []),  # latents, and as much for their labels
        ("C", 2, (None, 4, 5), []),
        ("D", 0, (None, 4, 5), []),
        ("E", 0, (None, 4, 5), [4, 4, 8, 8]),
        ("F", 2, (None, 4, 5), [4, 4, 8, 8]),
    ],
)
def test_each_row_of_table_1_takes_the_styles_and_the_noise_that_it_has(
    row: str, label_size: int, styles: tuple[int | None, ...], noise: list[int]
) -> None:
    generator = Generator(TABLE_1[row], channels=3, label_size=label_size)
    inputs = generator.synthesis(8, fading=True).inputs
    assert [tuple(tensor.shape) for tensor in inputs] == [
        styles,
        *((None, side, side, 1) for side in noise),
    ]
    assert generator.mapping().output_shape == (None, styles[-1])
    assert generator.model(8, fading=True).output_shape == (None, 8, 8, 3)


def test_row_b_of_table_1_is_progan_with_a_blur() -> None:
    latents = normal(4, 6)
    baseline = with_normal_weights(
        family_of(TABLE_1["A"]).generator(TABLE_1["A"], channels=3).model(16, fading=False)
    )
    images = {}
    for blur in (False, True):
        config = TABLE_1["B"].model_copy(update={"blur": blur})
        model = Generator(config, channels=3).model(16, fading=False)
        weights = named(baseline)
        for name, weight in named(model).items():
            if name != "truncation/mean":
                weight.assign(weights[name.replace("_bias/bias", "/bias")])
        images[blur] = model(latents)
    expected = baseline(latents)
    assert relative(images[False], expected) < 1e-5
    assert relative(images[True], expected) > 0.1


@pytest.mark.parametrize("row", TABLE_1)
def test_each_row_of_table_1_trains_every_weight(row: str) -> None:
    config = TABLE_1[row]
    family = family_of(config)
    generator, critic = (
        with_normal_weights(make(config, channels=3).model(8, fading=True))
        for make in (family.generator, family.discriminator)
    )
    for model in (generator, critic):
        model.get_layer(f"{model.name.partition('_')[0]}_fade").alpha.assign(0.5)
    latents, reals = normal(8, 6), tf.constant(normal(8, 8, 8, 3))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.softplus(-critic(generator(latents))["scores"]))
    of_generator = tape.gradient(loss, [w.value for w in generator.trainable_weights])
    with tf.GradientTape() as tape:
        with tf.GradientTape() as inner:
            inner.watch(reals)
            scores = critic(reals)["scores"]
        r1 = tf.reduce_sum(inner.gradient(scores, reals) ** 2)
        loss = tf.reduce_mean(tf.nn.softplus(-scores)) + r1 / 2
    of_critic = tape.gradient(loss, [w.value for w in critic.trainable_weights])
    for gradient in (*of_generator, *of_critic):
        assert np.isfinite(gradient).all()
        assert np.any(gradient)
