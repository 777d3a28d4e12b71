"""ProGAN's sizes: the paper's parameter counts, and every shape it can take."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.families.progan.config import ProGANConfig
from pipeline.families.progan.networks import (
    Discriminator,
    Generator,
)
from tests.pipeline.families.paper_sizes import PAIRS, conv, every_resolution, maps


def test_the_paper_generator_at_1024_has_23_07_million_weights() -> None:
    expected = (
        conv(512, 512, side=4)  # latents to 4×4 pixels
        + conv(512, 512)
        + sum(
            conv(maps(small), maps(large)) + conv(maps(large), maps(large))
            for small, large in PAIRS
        )
        + conv(16, 3, side=1)
    )
    model = Generator(ProGANConfig(), channels=3).model(1024, fading=False)
    assert model.count_params() == expected
    assert round(expected / 1e6, 2) == 23.07


def test_the_paper_discriminator_at_1024_has_23_08_million_weights() -> None:
    expected = (
        conv(3, 16, side=1)
        + sum(
            conv(maps(large), maps(large)) + conv(maps(large), maps(small))
            for small, large in PAIRS
        )
        + conv(513, 512)
        + conv(512, 512, side=4)  # 4×4 pixels to features
        + conv(512, 1, side=1)
    )
    model = Discriminator(ProGANConfig(), channels=3).model(1024, fading=False)
    assert model.count_params() == expected
    assert round(expected / 1e6, 2) == 23.08


@pytest.fixture(scope="module")
def growing() -> tuple[Generator, Discriminator]:
    config = ProGANConfig(fmap_base=1024, fmap_max=4, latent_size=3)
    generator = Generator(config, channels=5, label_size=2)
    return generator, Discriminator(config, channels=5, label_size=2)


@every_resolution
def test_every_resolution_has_models(
    growing: tuple[Generator, Discriminator], resolution: int, fading: bool
) -> None:
    generator, discriminator = growing
    model = generator.model(resolution, fading=fading)
    critic = discriminator.model(resolution, fading=fading)
    assert model.output_shape == (None, resolution, resolution, 5)
    outputs = critic(keras.Input((resolution, resolution, 5)))
    shapes = {name: output.shape for name, output in outputs.items()}
    assert shapes == {"scores": (None, 1), "logits": (None, 2)}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_images_and_scores_are_float32_under_every_precision(precision: str, channels: int) -> None:
    config = ProGANConfig(fmap_max=8, latent_size=8)
    half, full = (
        (
            Generator(config, channels=channels, precision=p).model(8, fading=True),
            Discriminator(config, channels=channels, precision=p).model(8, fading=True),
        )
        for p in (precision, "float32")
    )
    latents = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    images = half[0](latents)
    scores = half[1](images)["scores"]
    assert images.dtype == scores.dtype == tf.float32
    assert {weight.dtype for model in half for weight in model.weights} == {"float32"}
    # The same seed gives the same first weights, so results differ by rounding alone.
    rounding = {"float32": 1e-6, "mixed_bfloat16": 2**-8, "mixed_float16": 2**-11}[precision]
    for ours, exact in ((images, full[0](latents)), (scores, full[1](images)["scores"])):
        error = np.sqrt(np.mean(np.square(ours - exact))) / np.std(exact)
        assert error < 8 * rounding


def test_fused_and_unfused_generators_agree() -> None:
    latents = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    fused, unfused = (
        Generator(ProGANConfig(fmap_max=8, latent_size=8, fused=f), channels=1, seed=3).model(
            16, fading=False
        )(latents)
        for f in (True, False)
    )
    np.testing.assert_allclose(fused, unfused, atol=1e-5)
