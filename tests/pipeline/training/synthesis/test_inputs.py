"""Real images against independent formulas."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline.training.synthesis.inputs import fade_reals, normalize_images


def test_reals_fade_with_the_networks() -> None:
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    coarse = images.reshape(2, 4, 2, 4, 2, 3).mean(axis=(2, 4)).repeat(2, axis=1).repeat(2, axis=2)
    for alpha in (0.0, 0.25, 1.0):
        expected = coarse + (images - coarse) * alpha
        np.testing.assert_allclose(fade_reals(tf.constant(images), alpha), expected, atol=1e-6)


def test_pixels_become_minus_one_to_one() -> None:
    pixels = tf.constant([0, 51, 255], tf.uint8)
    np.testing.assert_allclose(normalize_images(pixels), [-1.0, -0.6, 1.0], atol=1e-7)
