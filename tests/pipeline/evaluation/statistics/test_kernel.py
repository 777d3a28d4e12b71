"""KID is that of three plain sums, without bias, and its interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.evaluation.statistics.kernel import kernel_distance, squared_discrepancy


def features(count: int, size: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size))


def by_loops(one: np.ndarray, other: np.ndarray) -> float:
    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def inner(x: np.ndarray) -> float:
        n = len(x)
        return sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    across = sum(k(x, y) for x in one for y in other) / (len(one) * len(other))
    return inner(one) + inner(other) - 2 * across


@pytest.mark.parametrize(("one", "other"), [(2, 2), (7, 4), (12, 12)])
def test_discrepancy_is_that_of_plain_sums(one: int, other: int) -> None:
    x, y = features(one), 2 * features(other, seed=1) + 1
    assert squared_discrepancy(x, y) == pytest.approx(by_loops(x, y), rel=1e-12)
    assert squared_discrepancy(y, x) == pytest.approx(by_loops(x, y), rel=1e-12)


def test_all_images_in_one_subset_give_the_discrepancy_of_all() -> None:
    x, y = features(30).astype(np.float32), features(30, seed=1).astype(np.float32) + 1
    found = kernel_distance(x, y, seed=0, subsets=3)
    expected = squared_discrepancy(x.astype(np.float64), y.astype(np.float64))
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.low is None


def test_equal_distributions_give_zero_on_average_and_values_below_it() -> None:
    values = np.array(
        [squared_discrepancy(features(20, seed=s), features(20, seed=s + 999)) for s in range(400)]
    )
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert (values < 0).mean() > 0.3


def test_the_interval_holds_the_truth_where_the_subsets_as_such_would_not() -> None:
    """In one dimension `k = 1 + 3 xy + 3 x²y² + x³y³`: only three moments matter."""
    mean, deviation = 0.5, 1.2
    truth = 3 * mean**2 + 3 * (mean**2 + deviation**2 - 1) ** 2
    truth += (mean**3 + 3 * mean * deviation**2) ** 2
    held, naively = [], []
    for seed in range(100):
        fakes = mean + deviation * features(600, 1, seed)
        reals = features(600, 1, seed + 10**6)
        found = kernel_distance(fakes, reals, seed=seed, subsets=50, size=150)
        held.append(found.low <= truth <= found.high)
        reach = (found.high - found.low) / 2 / np.sqrt(150 / 450 + 1 / 50) / np.sqrt(50)
        naively.append(abs(found.value - truth) <= reach)
    assert np.mean(held) >= 0.88
    assert np.mean(naively) < 0.6


def test_subsets_follow_from_the_seed_and_hold_no_image_twice() -> None:
    x, y = features(50), features(50, seed=1)
    one, again, other = (kernel_distance(x, y, seed=s, subsets=4, size=10) for s in (1, 1, 2))
    assert one == again
    assert one != other
    # 49 of 50 without putting back: every subset nearly the whole.
    nearly = kernel_distance(x, y, seed=0, subsets=20, size=49)
    assert nearly.value == pytest.approx(squared_discrepancy(x, y), abs=0.05)


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match=r"`fakes` must be at least 2 features"):
        kernel_distance(features(1), features(5), seed=0)
    with pytest.raises(UserError, match=r"`reals` must have the 5 dimensions .*shape=\(5, 4\)"):
        kernel_distance(features(5), features(5, 4), seed=0)
