"""FID is that of independent formulas, and of Gaussians that are known."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from pipeline.data.checking.moments import Moments, squared_frechet_distance
from pipeline.errors import UserError
from pipeline.evaluation.statistics import frechet
from pipeline.evaluation.statistics.frechet import (
    advice,
    fid_of,
    frechet_estimates,
    moments,
    moments_of_draws,
)


def features(count: int, size: int = 6, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(count, size)) @ draw.normal(size=(size, size)) + draw.normal(size=size)


def fid(one: np.ndarray, other: np.ndarray) -> float:
    return fid_of(moments([one]), moments([other]))


def known(mean: np.ndarray, covariance: np.ndarray, count: int = 10**6) -> Moments:
    """The moments of a set whose unbiased covariance is the one given."""
    return Moments(count, mean, covariance * (count - 1))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 100), max_size=6), st.sampled_from([1, 7, 16, 1000]))
def test_moments_are_the_same_bits_however_the_stream_is_cut(cuts: list[int], chunk: int) -> None:
    whole = features(100).astype(np.float32)
    with mock.patch.object(frechet, "CHUNK", chunk):
        expected = moments([whole])
        found = moments(np.split(whole, sorted(cuts)))
    assert found.count == expected.count == 100
    np.testing.assert_array_equal(found.mean, expected.mean)
    np.testing.assert_array_equal(found.scatter, expected.scatter)
    np.testing.assert_allclose(
        found.scatter / 99, np.cov(whole.astype(np.float64), rowvar=False), rtol=1e-10
    )


def test_float32_features_far_from_zero_lose_no_digits() -> None:
    whole = (features(5000, 3) + 1e4).astype(np.float32)
    found = moments(np.array_split(whole, 77))
    exact = whole.astype(np.longdouble)
    np.testing.assert_allclose(found.mean, exact.mean(0).astype(float), rtol=1e-14)
    centred = exact - exact.mean(0)
    np.testing.assert_allclose(found.scatter, (centred.T @ centred).astype(float), rtol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_distance_is_the_one_with_a_matrix_root(seed: int) -> None:
    one, other = features(80, seed=seed), 1.5 * features(60, seed=seed + 100)
    first, second = (np.cov(x, rowvar=False) for x in (one, other))
    expected = (
        np.square(one.mean(0) - other.mean(0)).sum()
        + np.trace(first + second)
        - 2 * np.trace(sqrtm(first @ second).real)
    )
    assert fid(one, other) == pytest.approx(expected, rel=1e-9)
    assert fid(other, one) == pytest.approx(expected, rel=1e-9)


def test_distance_of_known_gaussians() -> None:
    # In a common basis the distance is Σ (√a - √b)², and in any basis the same.
    spread, other_spread = np.array([1.0, 4.0, 9.0, 0.0]), np.array([4.0, 4.0, 0.25, 1e-8])
    step = np.array([1.0, -2.0, 0.0, 0.5])
    expected = np.square(step).sum() + np.square(np.sqrt(spread) - np.sqrt(other_spread)).sum()
    basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    one, other = (basis @ np.diag(it) @ basis.T for it in (spread, other_spread))
    mean = np.array([3.0, 0.0, 1.0, 2.0])
    found = squared_frechet_distance(mean, one, mean + step, other)
    assert found == pytest.approx(expected, rel=1e-7)
    assert fid_of(known(mean, one), known(mean + step, other)) == pytest.approx(expected, rel=1e-7)


def test_distance_of_features_approaches_that_of_their_gaussians() -> None:
    draw = np.random.default_rng(0)
    one, other = draw.normal(size=(200_000, 2)), draw.normal(size=(200_000, 2)) * [3, 1] + [2, 0]
    assert fid(one, other) == pytest.approx(2**2 + (3 - 1) ** 2, rel=0.01)


@pytest.mark.parametrize(("count", "size"), [(2, 5), (10, 40), (30, 30), (100, 4), (64, 200)])
def test_singular_covariances_give_what_the_features_themselves_do(count: int, size: int) -> None:
    """With centred features A, B the trace of the root is the sum of A Bᵀ's singular values."""
    one, other = features(count, size), features(count + 3, size, seed=1)
    a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (one, other))
    expected = (
        np.square(one.mean(0) - other.mean(0)).sum()
        + np.square(a).sum()
        + np.square(b).sum()
        - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()
    )
    assert fid(one, other) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("power", [1, 3, 6, 8])
def test_steep_spectra_lose_no_digits(power: int) -> None:
    """With `A = Q R` the covariance is `Rᵀ R`, and never formed."""
    basis, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(64, 64)))
    spread = np.arange(1, 65.0) ** (-power / 2)
    one, other = (np.random.default_rng(s).normal(size=(600, 64)) * spread for s in (0, 1))
    one, other = one @ basis, (1.05 * other + 0.01) @ basis
    a, b = (np.linalg.qr((x - x.mean(0)) / np.sqrt(599))[1] for x in (one, other))
    apart = np.square(one.mean(0) - other.mean(0)).sum() + np.square(a).sum() + np.square(b).sum()
    expected = apart - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()
    assert fid(one, other) == pytest.approx(expected, rel=1e-9)
    if power == 6:  # which a root of the product of covariances does not reach
        first, second = (np.cov(x, rowvar=False) for x in (one, other))
        rooted = apart - 2 * np.trace(sqrtm(first @ second).real)
        assert abs(rooted / expected - 1) > 1e-7


def test_dimensions_without_variance_and_of_any_scale() -> None:
    one, other = features(50, 4), features(50, 4, seed=1)
    still = np.full((50, 2), 7.0)
    assert fid(np.hstack([one, still]), np.hstack([other, still])) == pytest.approx(fid(one, other))
    assert fid(still, still) == 0
    assert fid(still, still + 2) == pytest.approx(8)
    for scale in (1e-12, 1e12):
        assert fid(scale * one, scale * other) == pytest.approx(scale**2 * fid(one, other))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(1, 40), st.integers(0, 1000))
def test_a_set_is_no_way_from_itself_in_any_order(count: int, size: int, seed: int) -> None:
    one = features(count, size, seed)
    shuffled = np.random.default_rng(seed).permutation(one)
    assert fid(one, shuffled) <= 1e-12 * np.square(one).sum()
    shift = np.arange(size) / size
    assert fid(one, one + shift) == pytest.approx(
        np.square(shift).sum(), abs=1e-11 * (1 + np.square(one).sum())
    )


def test_too_few_images_for_the_dimensions_are_told_of() -> None:
    assert advice(2049, 2048) is None
    said = advice(2048, 2048)
    assert "2048 images" in said
    assert "rank of 2047" in said
    few = frechet_estimates(
        moments_of_draws(features(20, 30), seed=0), moments([features(500, 30)])
    )
    assert few.advice == advice(20, 30)
    references = moments([features(7, 8)])
    assert frechet_estimates(
        moments_of_draws(features(200, 8), seed=0), references
    ).advice == advice(7, 8)
    found = frechet_estimates(
        moments_of_draws(features(60, 8), seed=0), moments([features(500, 8)])
    )
    assert "draws of 6 images" in found.advice
    assert "more than 80 images" in found.advice
    enough = frechet_estimates(
        moments_of_draws(features(200, 8), seed=0), moments([features(500, 8)])
    )
    assert enough.advice is None


def test_intervals_hold_the_truth_and_infinity_has_no_bias() -> None:
    size, count, truth = 8, 800, 8 * (1.2 - 1.0) ** 2
    references = known(np.zeros(size), np.eye(size))
    finite, infinite, held = [], [], []
    for seed in range(60):
        fakes = 1.2 * np.random.default_rng(seed).normal(size=(count, size))
        found = frechet_estimates(moments_of_draws(fakes, seed=seed), references)
        finite.append(found.fid.value)
        infinite.append(found.infinity.value)
        held.append(found.infinity.low <= truth <= found.infinity.high)
        assert found.fid.value == pytest.approx(fid_of(moments([fakes]), references), rel=1e-9)
        assert found.fid.high - found.fid.low == pytest.approx(
            found.infinity.high - found.infinity.low
        )
    error = np.std(infinite) / np.sqrt(len(infinite))
    assert abs(np.mean(infinite) - truth) < 3 * error
    assert np.mean(finite) - truth > 4 * error
    assert np.mean(held) >= 0.85


def test_the_line_through_the_points_meets_zero_at_infinity() -> None:
    """With FID = a + b / n exactly, as for one dimension and equal draws, FID∞ is a."""
    references = known(np.zeros(1), np.ones((1, 1)))
    draws = [known(np.zeros(1), np.ones((1, 1)), 50) for _ in range(10)]
    with mock.patch.object(frechet, "fid_of", lambda one, _: 3.0 + 40 / one.count):
        found = frechet_estimates(draws, references)
    assert found.infinity.value == pytest.approx(3.0)
    assert found.fid.value == pytest.approx(3.0 + 40 / 500)
    assert found.fid.low == pytest.approx(found.fid.high)


def test_points_are_at_a_tenth_a_fifth_a_half_and_all() -> None:
    references = known(np.zeros(1), np.ones((1, 1)))
    draws = [known(np.zeros(1), np.ones((1, 1)), 50) for _ in range(10)]

    def curved(count: int) -> float:
        return 3.0 + 40 / count + 500 / count**2

    with mock.patch.object(frechet, "fid_of", lambda one, _: curved(one.count)):
        found = frechet_estimates(draws, references)
    counts = (50, 100, 250, 500)
    line = np.linalg.lstsq(
        np.array([[1.0, 1 / count] for count in counts]),
        np.array([curved(count) for count in counts]),
    )[0]
    assert found.infinity.value == pytest.approx(line[0])


def test_draws_are_all_features_once_and_follow_from_the_seed() -> None:
    whole = features(103)
    draws = moments_of_draws(whole, seed=5)
    assert sorted(draw.count for draw in draws) == [10] * 7 + [11] * 3
    means = sum(draw.count * draw.mean for draw in draws) / 103
    np.testing.assert_allclose(means, whole.mean(0))
    np.testing.assert_array_equal(draws[0].mean, moments_of_draws(whole, seed=5)[0].mean)
    assert not np.array_equal(draws[0].mean, moments_of_draws(whole, seed=6)[0].mean)


def test_one_draw_has_no_interval() -> None:
    references = moments([features(100)])
    found = frechet_estimates([moments([features(50, seed=1)])], references)
    assert found.fid.low is None
    assert found.infinity.value == found.fid.value


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match=r"`batches` must hold features\. Received: none"):
        moments([])
    with pytest.raises(UserError, match=r"`batches` must be finite\. Received: 2 rows"):
        moments([np.array([[1.0], [np.nan], [np.inf]])])
    with pytest.raises(UserError, match=r"at least 20 features .* Received: shape=\(19, 2\)"):
        moments_of_draws(np.ones((19, 2)), seed=0)
    with pytest.raises(UserError, match="Received: 1 of 6 dimensions and 9 of 6 dimensions"):
        fid(features(1), features(9))
    with pytest.raises(UserError, match="Received: 9 of 6 dimensions and 9 of 5 dimensions"):
        fid(features(9), features(9, 5))
