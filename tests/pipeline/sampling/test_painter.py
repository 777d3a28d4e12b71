"""Images by seed: each a function of the weights, its seed and its label alone."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.families.progan.config import ProGANConfig
from pipeline.families.progan.networks import Generator
from pipeline.sampling.latents import latents_of_seeds
from pipeline.sampling.painter import Painter
from pipeline.sampling.sampler import latent_sampler
from savedmodels.batches import BATCH
from savedmodels.seeds import to_uint8

SIZES = ProGANConfig(fmap_max=8, latent_size=8)


@pytest.mark.parametrize("classes", [0, 3])
def test_an_image_depends_on_its_seed_and_label_alone(classes: int) -> None:
    model = Generator(SIZES, channels=3, label_size=classes).model(8, fading=False)
    painter, seeds = Painter(latent_sampler(model)), list(range(BATCH + 5))
    labels = [seed % classes for seed in seeds] if classes else []
    parts = list(painter.of_seeds(seeds, labels))
    assert [len(part) for part in parts] == [BATCH, 5]
    images = np.concatenate(parts)
    assert images.dtype == np.uint8
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
    [one] = painter.of_seeds(seeds[18:19], labels[18:19])
    assert np.array_equal(one, images[18:19])
    latents = latents_of_seeds(seeds, 8)
    inputs = [latents, tf.one_hot(labels, 3)] if classes else latents
    plain = to_uint8(model(inputs, training=False)).numpy()
    assert np.abs(plain.astype(int) - images).max() <= 1
    if classes:
        [other] = painter.of_seeds(seeds[18:19], [2 - labels[18]])
        assert not np.array_equal(other, one)


def test_no_seeds_are_no_images() -> None:
    model = Generator(SIZES, channels=1).model(4, fading=False)
    assert list(Painter(latent_sampler(model)).of_seeds([])) == []


def test_latents_are_a_function_of_their_own_seed() -> None:
    together = latents_of_seeds([3, 4, 5], 6).numpy()
    alone = np.concatenate([latents_of_seeds([seed], 6).numpy() for seed in (3, 4, 5)])
    np.testing.assert_array_equal(together, alone)
    # As a graph, since a loop of single operations takes seconds.
    many = tf.function(latents_of_seeds)(tf.range(2000, dtype=tf.int64), 6).numpy()
    assert abs(many.mean()) < 0.05
    assert abs(many.std() - 1) < 0.05
