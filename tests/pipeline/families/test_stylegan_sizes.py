"""StyleGAN's sizes: the paper's counts of weights, and those of models that were built."""

from __future__ import annotations

from pipeline.families.size import sizes_of
from pipeline.families.stylegan.config import StyleGANConfig
from tests.pipeline.families.paper_sizes import PAIRS, conv, maps


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
    [(size, _)] = sizes_of(config, [(1024, False)], channels=3, label_size=0)
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
    [(_, size)] = sizes_of(config, [(1024, False)], channels=3, label_size=0)
    assert size.parameters == expected
    assert round(expected / 1e6, 1) == 23.1
