"""Intervals with 95 % confidence around estimates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipeline.evaluation.statistics.estimate import Estimate

CONFIDENCE = 0.95
RESAMPLES = 1000


def around(value: float, error: float, independent: int) -> Estimate:
    """Make the interval `value ± t · error`, Student's t with `independent - 1` freedoms.

    Args:
        value: Estimated value.
        error: Standard error of the value.
        independent: Number of independent values behind the error; no interval below 2.
    """
    if independent < 2:
        return Estimate(value)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, independent - 1)) * error
    return Estimate(value, value - reach, value + reach)


def of_mean(values: npt.NDArray[Any]) -> Estimate:
    """Average independent values, `(n,)`, with Student's interval."""
    if len(values) < 2:
        return Estimate(float(values.mean()))
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    return around(float(values.mean()), error, len(values))


def of_share(hits: int, count: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a share, `hits / count`, with Wilson's interval, which stays within [0, 1].

    Args:
        hits: Number of trials that succeeded.
        count: Number of independent trials.
        confidence: Confidence of the interval.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    interval = stats.binomtest(hits, count).proportion_ci(confidence, "wilson")
    return Estimate(hits / count, float(interval.low), float(interval.high))


def bootstrap(
    values: npt.NDArray[Any],
    statistic: Callable[[npt.NDArray[Any]], float],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Compute a statistic of independent values, with quantiles over resampled values.

    Args:
        values: Values, (n, …), one per sample.
        statistic: Function of n values, also called on values drawn with replacement.
        seed: Seed of the draws.
        resamples: Number of resamples.

    Source: Efron, "Bootstrap methods: another look at the jackknife", 1979.
    """
    random = np.random.default_rng(seed)
    again = [
        statistic(values[random.integers(len(values), size=len(values))]) for _ in range(resamples)
    ]
    low, high = np.quantile(again, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(statistic(values)), float(low), float(high))
