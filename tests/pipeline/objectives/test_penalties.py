"""Gradient penalties of critics whose gradient is known by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import ObjectiveConfig, PenaltyName
from pipeline.objectives.penalties import (
    MEASURES,
    half_zero_centred,
    mix,
    one_sided,
    penalties_of,
    squared_gradient,
    two_sided,
    zero_centred,
)

SHAPE = (4, 4, 2)

# For each penalty its value at a gradient of norm n, and the derivative of the value by n.
BY_HAND: dict[Callable[..., Any], tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    two_sided: (lambda n: (n - 1) ** 2, lambda n: 2 * (n - 1)),
    one_sided: (lambda n: np.where(n > 1, (n - 1) ** 2, 0), lambda n: 2 * np.maximum(n - 1, 0)),
    zero_centred: (lambda n: n**2, lambda n: 2 * n),
    half_zero_centred: (lambda n: n**2 / 2, lambda n: n),
}


def normals(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Quadratic:
    """`D(x) = Σ a·x + b·x² / 2`, so that `∇D(x) = a + b·x`."""

    def __init__(self, size: float) -> None:
        self.a = tf.constant(size * normals(*SHAPE))
        self.b = tf.constant(size * normals(*SHAPE, seed=1))

    def __call__(self, images: Any) -> Any:
        return tf.reduce_sum(self.a * images + self.b * images**2 / 2, axis=[1, 2, 3])[:, None]


@pytest.mark.parametrize("measure", BY_HAND)
@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("size", [0.05, 0.3])  # norms on both sides of 1
def test_penalties_and_their_gradients_are_those_by_hand(
    measure: Callable[..., Any], scale: float, size: float
) -> None:
    critic, images = Quadratic(size), normals(5, *SHAPE, seed=2)
    weights = [critic.a, critic.b]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        penalty = measure(squared_gradient(critic, tf.constant(images)), scale)
        total = tf.reduce_sum(penalty)
    found = tape.gradient(total, weights)

    gradient = critic.a.numpy() + critic.b.numpy() * images
    norm = np.sqrt((gradient**2).sum(axis=(1, 2, 3)))
    value, slope = BY_HAND[measure]
    np.testing.assert_allclose(penalty, value(scale * norm), rtol=1e-4, atol=1e-6)
    # d norm / d a = gradient / norm, d norm / d b = gradient · x / norm
    by_norm = (slope(scale * norm) * scale / norm)[:, None, None, None]
    np.testing.assert_allclose(found[0], (by_norm * gradient).sum(0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found[1], (by_norm * gradient * images).sum(0), rtol=1e-3, atol=1e-5)


def test_norms_lie_on_both_sides_of_one() -> None:
    images = tf.constant(normals(5, *SHAPE, seed=2))
    assert (squared_gradient(Quadratic(0.05), images).numpy() < 1).all()
    assert (squared_gradient(Quadratic(0.3), images).numpy() > 1).all()


def test_scale_is_the_official_measure_on_enlarged_images() -> None:
    slope, images = normals(1, 8, 8, 3), tf.constant(normals(4, 8, 8, 3))

    def linear(x: Any) -> Any:
        return tf.reduce_sum(x * slope, axis=[1, 2, 3])[:, None]

    enlarged = tf.repeat(tf.repeat(images, 2, axis=1), 2, axis=2)
    official = squared_gradient(lambda x: linear(tf.nn.avg_pool2d(x, 2, 2, "VALID")), enlarged)
    for measure in BY_HAND:
        ours = measure(squared_gradient(linear, images), 8 / 16)
        np.testing.assert_allclose(ours, measure(official), rtol=1e-5)


@pytest.mark.parametrize("measure", BY_HAND)
def test_penalties_are_finite_where_the_gradient_vanishes(measure: Callable[..., Any]) -> None:
    images, weight = tf.zeros((4, *SHAPE)), tf.constant(0.0)
    with tf.GradientTape() as tape:
        tape.watch(weight)
        square = squared_gradient(
            lambda x: weight * tf.reduce_sum(x, axis=[1, 2, 3])[:, None], images
        )
        penalty = measure(square)
    assert np.isfinite(tape.gradient(penalty, weight).numpy())


def test_the_table_has_every_name_but_none() -> None:
    assert {*MEASURES, "none"} == set(get_args(PenaltyName))


def test_an_objective_has_the_penalties_with_a_weight_at_their_points() -> None:
    reals, fakes, weights = (tf.constant(normals(2, 4, 4, 1, seed=seed)) for seed in range(3))

    def points(**keys: Any) -> dict[str, Any]:
        return {
            penalty.name: penalty.points(reals, fakes, weights)
            for penalty in penalties_of(ObjectiveConfig(**keys))
        }

    assert list(points()) == ["penalty"]
    np.testing.assert_array_equal(points()["penalty"], mix(reals, fakes, weights))
    assert points(loss="hinge", penalty="none") == {}
    assert points(loss="hinge", penalty_weight=0) == {}
    both = points(penalty="none", r1=2.0, r2=3.0)
    assert list(both) == ["r1", "r2"]
    np.testing.assert_array_equal(both["r1"], reals)
    np.testing.assert_array_equal(both["r2"], fakes)
    [r1] = penalties_of(ObjectiveConfig(penalty="none", r1=2.0))
    assert (r1.weight, r1.needs_fakes) == (2.0, False)
    np.testing.assert_array_equal(r1.points(reals, None, weights), reals)
