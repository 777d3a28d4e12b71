"""One pass of both kinds of images against two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.families.progan.config import ProGANConfig
from pipeline.families.progan.networks import Discriminator
from pipeline.training.synthesis.updates import judged_apart


def normals(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("label_size", [0, 3])
@pytest.mark.parametrize("batch", [2, 4, 8, 16])
def test_one_pass_scores_reals_and_fakes_as_two_passes_do(batch: int, label_size: int) -> None:
    config = ProGANConfig(fmap_max=8, latent_size=8)
    model = Discriminator(config, channels=3, label_size=label_size).model(8, fading=False)
    reals, fakes = (
        tf.constant(normals(batch, 8, 8, 3)),
        tf.constant(normals(batch, 8, 8, 3, seed=1)),
    )
    labels = tf.zeros((batch, label_size))
    together = judged_apart(model, reals, fakes, labels, group_size=4)
    for both, alone in zip(together, (model(reals), model(fakes)), strict=True):
        for name, expected in alone.items():
            np.testing.assert_allclose(getattr(both, name), expected, rtol=1e-5, atol=1e-5)
        assert (both.logits is None) == ("logits" not in alone)
