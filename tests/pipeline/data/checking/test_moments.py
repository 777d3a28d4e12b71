import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from pipeline.data.checking.moments import Moments, frechet_distance, merge_moments, moments_of


def features(count: int, size: int = 5, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(count, size)) @ draw.normal(size=(size, size)) + draw.normal(size=size)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=4))
def test_parts_in_any_cut_are_the_whole(cuts: list[int]) -> None:
    # Far from zero, sums of squares would lose eight of sixteen digits.
    whole = features(40) + 1e4
    total = moments_of(whole[:0])
    for part in np.split(whole, sorted(cuts)):
        total = merge_moments(total, moments_of(part))
    assert total.count == 40
    np.testing.assert_allclose(total.mean, whole.mean(0), rtol=1e-13)
    np.testing.assert_allclose(total.covariance, np.cov(whole, rowvar=False, bias=True), rtol=1e-9)


def test_distance_is_that_of_gaussians() -> None:
    one, other = features(50), 2 * features(30, seed=1)
    first, second = (np.cov(x, rowvar=False, bias=True) for x in (one, other))
    expected = (
        np.square(one.mean(0) - other.mean(0)).sum()
        + np.trace(first + second)
        - 2 * np.trace(sqrtm(first @ second).real)
    )
    distance = frechet_distance(moments_of(one), moments_of(other))
    assert distance == pytest.approx(np.sqrt(expected), rel=1e-9)
    assert frechet_distance(moments_of(other), moments_of(one)) == pytest.approx(distance)


def test_distance_of_what_is_known() -> None:
    unit, size = np.eye(3), np.zeros(3)
    # Means 5 apart; standard deviations 1 and 3 in each of three dimensions.
    assert frechet_distance(
        Moments(1, size, unit), Moments(1, np.array([3.0, 0, 4]), unit)
    ) == pytest.approx(5)
    assert frechet_distance(Moments(2, size, 2 * unit), Moments(2, size, 18 * unit)) == (
        pytest.approx(np.sqrt(3 * 2**2))
    )


@pytest.mark.parametrize("count", [0, 1, 2, 50])  # fewer vectors than dimensions, too
def test_nothing_lies_between_a_set_and_itself(count: int) -> None:
    moments = moments_of(features(count, 10))
    assert frechet_distance(moments, moments) == pytest.approx(0, abs=1e-6)
