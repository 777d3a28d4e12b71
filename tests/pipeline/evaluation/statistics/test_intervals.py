"""Intervals hold what is true as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.statistics import intervals
from pipeline.evaluation.statistics.intervals import (
    Estimate,
    bootstrap,
    estimate_mean,
    estimate_share,
    student_interval,
)


def holds(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def test_student_s_interval_of_a_mean() -> None:
    # Of 4 numbers t is 3.182, not 1.96.
    found = estimate_mean(np.array([1.0, 2.0, 3.0, 6.0]))
    assert found.value == 3.0
    assert found.high == pytest.approx(3.0 + 3.182446 * np.sqrt(14 / 3) / 2, rel=1e-6)
    assert found.low == pytest.approx(3.0 - 3.182446 * np.sqrt(14 / 3) / 2, rel=1e-6)


def test_one_number_has_no_interval() -> None:
    assert estimate_mean(np.array([2.0])) == Estimate(2.0)
    assert student_interval(2.0, 1.0, 1) == Estimate(2.0)


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (3, 20), (20, 20), (517, 1000)])
def test_wilson_s_interval_of_a_share(hits: int, count: int) -> None:
    share, z = hits / count, 1.959963984540054
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    root = np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    reach = z * root / (1 + z**2 / count)
    found = estimate_share(hits, count)
    assert found.value == share
    assert found.low == pytest.approx(middle - reach, abs=1e-12)
    assert found.high == pytest.approx(middle + reach, abs=1e-12)


def test_the_bootstrap_holds_the_truth_in_about_19_of_20_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intervals, "RESAMPLES", 300)
    random = np.random.default_rng(0)
    samples = random.exponential(size=(200, 60))
    held = [holds(bootstrap(one, np.median, seed=1), np.log(2)) for one in samples]
    assert 0.89 < np.mean(held) < 0.99


def test_the_bootstrap_is_a_function_of_its_seed() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap(values, np.mean, seed=3) == bootstrap(values, np.mean, seed=3)
    assert bootstrap(values, np.mean, seed=3) != bootstrap(values, np.mean, seed=4)
