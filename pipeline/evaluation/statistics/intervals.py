"""Estimates of numbers, and their intervals with 95 % confidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 1000


class Estimate(NamedTuple):
    """Estimated value, and the ends of its 95 % interval if there is one."""

    value: float
    low: float | None = None
    high: float | None = None


def around(value: float, error: float, independent: int) -> Estimate:
    """Make the interval `value ± t · error`, Student's t with `independent - 1` freedoms.

    Args:
        value: Estimated value.
        error: Standard error of the value.
        independent: Number of independent values behind the error; no interval below 2.
    """
    if independent < 2:
        return Estimate(value)
    # Both tails lie outside of the interval, so each has half of the rest.
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, independent - 1)) * error
    return Estimate(value, value - reach, value + reach)


def of_mean(values: npt.NDArray[Any]) -> Estimate:
    """Average independent values, `(n,)`, with Student's interval."""
    # One value has no spread: NumPy would warn and give NaN.
    error = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return around(float(values.mean()), error, len(values))


def of_share(hits: int, count: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a share, `hits / count` of independent trials, with Wilson's interval.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    # Wilson's, because it stays within [0, 1], also around 0 and 1.
    interval = stats.binomtest(hits, count).proportion_ci(confidence, "wilson")
    return Estimate(hits / count, float(interval.low), float(interval.high))


def bootstrap(
    values: npt.NDArray[Any], statistic: Callable[[npt.NDArray[Any]], float], *, seed: int
) -> Estimate:
    """Compute a statistic of independent values `(n, …)`, with quantiles over resampled values.

    Source: Efron, "Bootstrap methods: another look at the jackknife", 1979.
    """
    random = np.random.default_rng(seed)
    again = [
        statistic(values[random.integers(len(values), size=len(values))]) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(again, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(statistic(values)), float(low), float(high))
