"""The generator's average against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import OptimizerConfig
from pipeline.families.progan.config import ProGANConfig
from pipeline.families.progan.networks import Generator
from pipeline.training.optimization.ema import decay_per_step, update_average


def test_average_is_an_exponential_one_with_the_half_life_in_images() -> None:
    assert decay_per_step(OptimizerConfig(average_half_life=1000), 16) ** (1000 / 16) == (
        pytest.approx(0.5)
    )
    assert decay_per_step(OptimizerConfig(average_decay=0.999), 16) == 0.999
    config = ProGANConfig(fmap_max=8, latent_size=8)
    generator, average = (Generator(config, channels=3).model(4, fading=False) for _ in range(2))
    before = average.get_weights()
    generator.set_weights([w + 1.0 for w in before])
    update_average(tf.distribute.get_strategy(), average, generator, 0.75)
    for old, new in zip(before, average.get_weights(), strict=True):
        np.testing.assert_allclose(new, old + 0.25, rtol=1e-5, atol=1e-6)
