"""Images by seed: each a function of the weights, its seed and its label alone."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.families.progan.config import ProGANConfig
from pipeline.families.progan.networks import Generator
from pipeline.generating.images import images_of_seeds
from savedmodels.generation import BATCH
from savedmodels.seeds import latents_of_seeds, to_uint8

SIZES = ProGANConfig(fmap_max=8, latent_size=8)


@pytest.mark.parametrize("classes", [0, 3])
def test_an_image_depends_on_its_seed_and_label_alone(classes: int) -> None:
    model = Generator(SIZES, channels=3, label_size=classes).model(8, fading=False)
    seeds = list(range(BATCH + 5))
    labels = [seed % classes for seed in seeds] if classes else []
    parts = list(images_of_seeds(model, seeds, labels))
    assert [len(part) for part in parts] == [BATCH, 5]
    images = np.concatenate(parts)
    assert images.dtype == np.uint8
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
    [one] = images_of_seeds(model, seeds[18:19], labels[18:19])
    assert np.array_equal(one, images[18:19])
    latents = latents_of_seeds(seeds, 8)
    inputs = [latents, tf.one_hot(labels, 3)] if classes else latents
    plain = to_uint8(model(inputs, training=False)).numpy()
    assert np.abs(plain.astype(int) - images).max() <= 1
    if classes:
        [other] = images_of_seeds(model, seeds[18:19], [2 - labels[18]])
        assert not np.array_equal(other, one)


def test_no_seeds_are_no_images() -> None:
    model = Generator(SIZES, channels=1).model(4, fading=False)
    assert list(images_of_seeds(model, [])) == []
