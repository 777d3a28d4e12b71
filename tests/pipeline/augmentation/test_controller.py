"""The probability of ADA, against its formula, and that it settles where it is steered to."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.augmentation.controller import adjust_probability, first_probability, mean_sign
from pipeline.config import AugmentationConfig

STEERED = AugmentationConfig(kind="ada")


@pytest.mark.parametrize(
    ("p", "sign", "expected"),
    [
        (0.3, 0.7, 0.3 + 64 * 4 / 500_000),
        (0.3, 0.5, 0.3 - 64 * 4 / 500_000),
        (0.3, -1.0, 0.3 - 64 * 4 / 500_000),
        (0.0, 0.2, 0.0),
        (1.0, 0.9, 1.0),
        (0.99999, 0.9, 1.0),
    ],
)
def test_a_step_is_that_of_the_paper(p: float, sign: float, expected: float) -> None:
    found = adjust_probability(tf.constant(p), tf.constant(sign), 64 * 4, STEERED)
    assert float(found) == pytest.approx(expected, abs=1e-7)


def test_at_the_target_p_stays() -> None:
    target = tf.constant(STEERED.target)
    assert float(adjust_probability(tf.constant(0.4), target, 64, STEERED)) == pytest.approx(0.4)


def test_a_fixed_probability_stays() -> None:
    fixed = AugmentationConfig(kind="ada", probability=0.25)
    assert first_probability(fixed) == 0.25
    assert first_probability(STEERED) == 0
    assert float(adjust_probability(tf.constant(0.25), tf.constant(1.0), 64, fixed)) == 0.25


def test_p_rises_from_0_to_1_in_the_images_it_was_given_in_a_compiled_loop() -> None:
    settings = AugmentationConfig(kind="ada", rise_images=1000)
    p = tf.Variable(0.0)
    traces = []

    @tf.function
    def step(sign: tf.Tensor) -> None:
        traces.append(None)
        p.assign(adjust_probability(p, sign, 8 * settings.adjust_every, settings))

    for _ in range(31):
        step(tf.constant(1.0))
    assert float(p) == pytest.approx(31 * 32 / 1000, abs=1e-5)
    for _ in range(3):
        step(tf.constant(1.0))
    assert float(p) == 1
    assert len(traces) == 1


def test_p_settles_where_the_signs_are_the_target() -> None:
    # A discriminator that is the less right, the more images are augmented.
    settings = AugmentationConfig(kind="ada", rise_images=10_000)
    p = tf.constant(0.0)
    for _ in range(200):
        p = adjust_probability(p, 0.95 - 0.7 * p, 128, settings)
    assert float(p) == pytest.approx(0.5, abs=0.02)


def test_the_mean_sign_counts_scores_on_both_sides_of_zero() -> None:
    scores = np.array([[3.0], [0.1], [-2.0], [5.0], [0.0]], np.float32)
    assert float(mean_sign(tf.constant(scores))) == pytest.approx(0.4)
