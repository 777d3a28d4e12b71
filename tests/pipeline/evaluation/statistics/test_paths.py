"""Path lengths are those of ways whose length is known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.evaluation.statistics.paths import feature_distance, lerp, path_length, slerp


def latents(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *shape))


def squared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.square(one - other).reshape(len(one), -1).sum(1)


@pytest.mark.parametrize("full", [True, False])
def test_length_of_straight_ways_through_a_linear_generator(full: bool) -> None:
    """The image moves by `A (end - start) ε`, wherever it is."""
    matrix = latents(12, 5)
    starts, ends = latents(30, 5), latents(30, 5, seed=1)
    found = path_length(
        lambda w, _: w @ matrix.T,
        squared,
        starts,
        ends,
        interpolate=lerp,
        seed=0,
        full=full,
        trimmed=None,
    )
    expected = np.square((ends - starts) @ matrix.T).sum(1)
    assert found.value == pytest.approx(expected.mean(), rel=1e-6)
    assert found.low < found.value < found.high


def test_length_of_great_circles_is_radius_times_angle() -> None:
    starts, ends = latents(30, 8), 3 * latents(30, 8, seed=1)
    found = path_length(
        lambda z, _: z, squared, starts, ends, interpolate=slerp, seed=0, trimmed=None
    )
    cosine = (starts * ends).sum(1)
    cosine /= np.linalg.norm(starts, axis=1) * np.linalg.norm(ends, axis=1)
    assert found.value == pytest.approx((8 * np.arccos(cosine) ** 2).mean(), rel=1e-6)


@pytest.mark.parametrize("place", [0.0, 0.3, 1.0, 1.2])
def test_slerp_is_that_of_sines(place: float) -> None:
    starts, ends = latents(6, 4), latents(6, 4, seed=1)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (starts, ends))
    angle = np.arccos((a * b).sum(1, keepdims=True))
    expected = (np.sin((1 - place) * angle) * a + np.sin(place * angle) * b) / np.sin(angle)
    found = slerp(starts, ends, np.full(6, place))
    np.testing.assert_allclose(found, 2 * expected, atol=1e-12)
    np.testing.assert_allclose(np.square(found).mean(1), 1)


def test_slerp_between_equal_latents_stays() -> None:
    one = latents(3, 4)
    found = slerp(one, one, np.full(3, 0.5))
    np.testing.assert_allclose(
        found / np.linalg.norm(found, axis=1, keepdims=True),
        one / np.linalg.norm(one, axis=1, keepdims=True),
        atol=1e-7,
    )


def test_lerp_of_styles_of_layers() -> None:
    starts, ends = latents(3, 6, 4), latents(3, 6, 4, seed=1)
    places = np.array([0.0, 0.5, 1.0])
    found = lerp(starts, ends, places)
    np.testing.assert_allclose(found[0], starts[0])
    np.testing.assert_allclose(found[1], (starts[1] + ends[1]) / 2)
    np.testing.assert_allclose(found[2], ends[2])


def test_full_ways_are_sampled_all_along_and_ends_at_their_start() -> None:
    """Images move at a pace of 2t, so the length is 4t²: 4/3 on average, and 0 at the start."""
    starts, ends = np.zeros((4000, 1)), np.ones((4000, 1))
    lengths = {
        full: path_length(
            lambda w, _: w**2,
            squared,
            starts,
            ends,
            interpolate=lerp,
            seed=0,
            full=full,
            trimmed=None,
        ).value
        for full in (True, False)
    }
    assert lengths[True] == pytest.approx(4 / 3, rel=0.05)
    assert lengths[False] == pytest.approx(0, abs=1e-6)


def test_extreme_lengths_are_left_out() -> None:
    steps = np.concatenate([np.full(198, 1.0), [1e-3, 1e3]])[:, None]
    found = path_length(
        lambda w, _: w, squared, np.zeros_like(steps), steps, interpolate=lerp, seed=0
    )
    assert found.value == pytest.approx(1, rel=1e-6)
    # The 1st percentile of 1 … 200 taken as the lower neighbour is 2, the 99th as the upper 199.
    steps = np.sqrt(np.arange(1, 201.0))[:, None]
    found = path_length(
        lambda w, _: w, squared, np.zeros_like(steps), steps, interpolate=lerp, seed=0, full=False
    )
    assert found.value == pytest.approx(np.mean(np.arange(2, 200)), rel=1e-6)


def test_a_generator_is_told_which_pairs_latents_are_of() -> None:
    """So that each image has the label of its number, in every batch."""
    starts, ends = latents(10, 4), latents(10, 4, seed=1)
    labels = np.arange(10.0)[:, None]
    asked: list[slice] = []

    def generate(w: np.ndarray, numbers: slice) -> np.ndarray:
        asked.append(numbers)
        return w * labels[numbers]

    path_length(generate, squared, starts, ends, interpolate=lerp, seed=0, batch=4)
    assert asked == [slice(a, a + 4) for a in (0, 0, 4, 4, 8, 8)]


def test_lengths_do_not_depend_on_the_batches() -> None:
    starts, ends = latents(23, 5), latents(23, 5, seed=1)
    values = [
        path_length(
            lambda z, _: np.tanh(z), squared, starts, ends, interpolate=slerp, seed=3, batch=batch
        )
        for batch in (1, 7, 64)
    ]
    assert values[0].value == pytest.approx(values[1].value, rel=1e-12)
    assert values[0].value == pytest.approx(values[2].value, rel=1e-12)


def test_feature_distance_is_that_of_directions() -> None:
    one, other = latents(9, 6), 100 * latents(9, 6, seed=1)
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    np.testing.assert_allclose(feature_distance(one, other), 2 - 2 * cosine)
    np.testing.assert_allclose(feature_distance(one, 5 * one), 0, atol=1e-12)
    np.testing.assert_allclose(feature_distance(one, -one), 4)
    assert np.isfinite(feature_distance(np.zeros((1, 3)), np.ones((1, 3)))).all()


def test_latents_of_two_shapes_are_refused() -> None:
    with pytest.raises(UserError, match=r"one shape\. Received: \(3, 4\) and \(2, 4\)"):
        path_length(
            lambda z, _: z, squared, latents(3, 4), latents(2, 4), interpolate=slerp, seed=0
        )
