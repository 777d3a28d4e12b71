"""StyleGAN's sizes: the paper's counts of weights, and those of models that were built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest

from pipeline.families.network import Size
from pipeline.families.stylegan.config import StyleGANConfig
from pipeline.families.stylegan.networks import (
    Discriminator,
    Generator,
    discriminator_size,
    generator_size,
)
from tests.pipeline.families.paper_sizes import PAIRS, conv, maps
from tests.pipeline.families.stylegan_cases import CONFIG, TABLE


def test_the_paper_generator_at_1024_has_26_2_million_weights() -> None:
    layers = [(512, 512), *((small, large) for pair in PAIRS for small, large in [map(maps, pair)])]
    expected = (
        8 * (512 * 512 + 512)
        + 4 * 4 * 512
        - (conv(512, 512) - 512)  # the first layer has no convolution
        + sum(
            conv(inputs, outputs)
            + conv(outputs, outputs)
            + 2 * (outputs + 512 * 2 * outputs + 2 * outputs)  # noise, style
            for inputs, outputs in layers
        )
        + conv(16, 3, side=1)
    )
    config = StyleGANConfig()
    size = generator_size(config, 1024, channels=3, label_size=0, fading=False)
    assert size.parameters == expected
    assert round(expected / 1e6, 1) == 26.2


def test_the_paper_discriminator_at_1024_has_23_1_million_weights() -> None:
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
    config = StyleGANConfig()
    size = discriminator_size(config, 1024, channels=3, label_size=0, fading=False)
    assert size.parameters == expected
    assert round(expected / 1e6, 1) == 23.1


@pytest.mark.slow
def test_the_papers_networks_at_1024_are_of_their_sizes(
    counted: Callable[[keras.Model], Size],
) -> None:
    config = StyleGANConfig()
    sizes: dict[str, Any] = {"channels": 3, "label_size": 0}
    for make, size in ((Generator, generator_size), (Discriminator, discriminator_size)):
        model = make(config, **sizes).model(1024, fading=True)
        assert size(config, 1024, fading=True, **sizes) == counted(model)


@pytest.mark.parametrize(
    ("row", "resolution", "fading", "label_size"),
    [
        *((row, 8, True, 3) for row in TABLE),
        ("F", 4, False, 0),
        ("F", 16, False, 0),
    ],
)
def test_sizes_are_those_of_the_models(
    counted: Callable[[keras.Model], Size],
    row: str,
    resolution: int,
    fading: bool,
    label_size: int,
) -> None:
    config = StyleGANConfig(
        fmap_base=144,
        fmap_max=18,
        latent_size=5,
        **{"style_size": 7, "mapping_layers": 3} | TABLE[row],
    )
    sizes: dict[str, Any] = {"channels": 3, "label_size": label_size}
    generator = Generator(config, **sizes).model(resolution, fading=fading)
    assert generator_size(config, resolution, fading=fading, **sizes) == counted(generator)
    critic = Discriminator(config, **sizes).model(resolution, fading=fading)
    assert discriminator_size(config, resolution, fading=fading, **sizes) == counted(critic)


def test_sizes_without_blur_are_those_of_the_models(
    counted: Callable[[keras.Model], Size],
) -> None:
    config = CONFIG.model_copy(update={"blur": False})
    sizes: dict[str, Any] = {"channels": 1, "label_size": 0}
    for make, size in ((Generator, generator_size), (Discriminator, discriminator_size)):
        model = make(config, **sizes).model(16, fading=False)
        assert size(config, 16, fading=False, **sizes) == counted(model)
