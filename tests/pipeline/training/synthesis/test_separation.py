"""Separation is that of the scores, and a number for any of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.synthesis.separation import with_separation


def of_scores(reals: Any, fakes: Any) -> float:
    metrics = with_separation(
        {
            "real_score": tf.reduce_mean(reals),
            "fake_score": tf.reduce_mean(fakes),
            "real_square": tf.reduce_mean(tf.square(reals)),
            "fake_square": tf.reduce_mean(tf.square(fakes)),
        }
    )
    assert metrics.keys() == {"real_score", "fake_score", "separation"}
    return float(metrics["separation"])


@pytest.mark.parametrize("offset", [0.0, -30.0])
def test_it_is_the_distance_of_the_means_in_deviations(offset: float) -> None:
    random = np.random.default_rng(0)
    reals, fakes = (
        random.normal(mean + offset, deviation, (64, 1)) for mean, deviation in ((3, 2), (-1, 1))
    )
    expected = (reals.mean() - fakes.mean()) / np.sqrt((reals.var() + fakes.var()) / 2)
    scores = (tf.constant(kind, tf.float32) for kind in (reals, fakes))
    assert of_scores(*scores) == pytest.approx(expected, rel=1e-3)


def test_scores_that_are_all_equal_are_far_apart_or_not_at_all() -> None:
    ones = tf.ones((4, 1))
    assert of_scores(ones, -ones) == pytest.approx(2000.0)
    assert of_scores(-ones, ones) == pytest.approx(-2000.0)
    assert of_scores(ones, ones) == of_scores(0 * ones, 0 * ones) == 0.0


def test_an_update_without_scores_has_none() -> None:
    assert with_separation({"r1": 1.0}) == {"r1": 1.0}
