"""Confidence intervals of 95 % for scores: Student's, Wilson's and bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 1000  # Number of random samples of a bootstrap.


class Estimate(NamedTuple):
    """Estimated value, and both ends of its 95 % interval, or None without an interval."""

    value: float
    low: float | None = None
    high: float | None = None


def student_interval(value: float, error: float, independent: int) -> Estimate:
    """Make the interval `value ± t · error`, from Student's t distribution.

    Args:
        value: Estimated value.
        error: Standard error of the value.
        independent: Number of independent values behind the error, one more than the degrees of
            freedom; below 2 there is no interval.
    """
    if independent < 2:
        return Estimate(value)
    # Half of the remaining 5 % lies on each side of the interval.
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, independent - 1)) * error
    return Estimate(value, value - reach, value + reach)


def estimate_mean(values: npt.NDArray[Any]) -> Estimate:
    """Estimate the mean of independent values, `(n,)`, with Student's interval."""
    # One value has no standard deviation: NumPy would warn and give NaN.
    error = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return student_interval(float(values.mean()), error, len(values))


def estimate_share(hits: int, count: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a share, `hits / count` of independent trials, with Wilson's interval.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    # Use Wilson's interval: it stays within [0, 1], even for shares near 0 or 1.
    interval = stats.binomtest(hits, count).proportion_ci(confidence, "wilson")
    return Estimate(hits / count, float(interval.low), float(interval.high))


def bootstrap(
    values: npt.NDArray[Any], statistic: Callable[[npt.NDArray[Any]], float], *, seed: int
) -> Estimate:
    """Compute a statistic of independent values `(n, …)`, with a bootstrap interval.

    The ends are quantiles of the statistic over samples of the values, drawn with replacement.

    Source: Efron, "Bootstrap methods: another look at the jackknife", 1979.
    """
    random = np.random.default_rng(seed)
    resampled = [
        statistic(values[random.integers(len(values), size=len(values))]) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(statistic(values)), float(low), float(high))
