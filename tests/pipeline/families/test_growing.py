"""What grows: a fade from the old network to the new, on blocks that are made once."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.families.progan.config import ProGANConfig
from pipeline.families.progan.networks import Discriminator, Generator


def networks() -> tuple[Generator, Discriminator]:
    config = ProGANConfig(fmap_max=8, latent_size=8)
    return (
        Generator(config, channels=3),
        Discriminator(config, channels=3),
    )


def normals(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_fade_starts_at_the_old_network_and_ends_at_the_new() -> None:
    generator, discriminator = networks()
    latents, images = normals(4, 8), normals(4, 8, 8, 3)
    fading_generator = generator.model(8, fading=True)
    fading_discriminator = discriminator.model(8, fading=True)
    pooled = images.reshape(4, 4, 2, 4, 2, 3).mean(axis=(2, 4))
    small = generator.model(4, fading=False)(latents).numpy()
    for network in (generator, discriminator):
        network.fade.alpha.assign(0.0)
    np.testing.assert_array_equal(
        fading_generator(latents), small.repeat(2, axis=1).repeat(2, axis=2)
    )
    np.testing.assert_allclose(
        fading_discriminator(images)["scores"],
        discriminator.model(4, fading=False)(pooled)["scores"],
        rtol=1e-5,
    )
    for network in (generator, discriminator):
        network.fade.alpha.assign(1.0)
    np.testing.assert_array_equal(
        fading_generator(latents), generator.model(8, fading=False)(latents)
    )
    np.testing.assert_array_equal(
        fading_discriminator(images)["scores"],
        discriminator.model(8, fading=False)(images)["scores"],
    )


def test_blocks_are_made_once_and_named_by_resolution() -> None:
    generator = networks()[0]
    small, large = generator.model(8, fading=False), generator.model(16, fading=True)
    shared = {layer.name: layer for layer in large.layers if layer.weights}
    for layer in small.layers:
        if layer.weights:
            assert shared[layer.name] is layer
    assert "generator_16x16_conv0" in shared


def test_first_weights_follow_from_the_seed_not_from_the_order_of_creation() -> None:
    config = ProGANConfig(fmap_max=8, latent_size=8)
    grown, direct, other = (Generator(config, channels=1, seed=seed) for seed in (5, 5, 6))
    grown.model(4, fading=False)
    grown.model(8, fading=False)
    average = Generator(config, channels=1, seed=5, name="average")
    weights = [g.model(16, fading=False).get_weights() for g in (grown, direct, average, other)]
    for one, two, three, four in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
        assert not one.any() or (one != four).any()
