"""KID: squared maximum mean discrepancy (MMD) of features with a cubic kernel, without bias."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.statistics.arrays import Array, check_features
from pipeline.evaluation.statistics.intervals import Estimate, student_interval

SUBSETS = 100  # Number of random subsets.
SUBSET_SIZE = 1000  # Number of images of each set in a subset.


def kernel_distance(
    fakes: Array, reals: Array, *, seed: int, subsets: int = SUBSETS, size: int = SUBSET_SIZE
) -> Estimate:
    """Compute KID: average the squared MMD of fakes and reals, `(n, dimensions)`, over subsets.

    Each random subset has `size` fakes and `size` reals. If fakes or reals are fewer than `size`,
    subsets have as many of both as the smaller set. There is no interval if a subset holds all
    images of the smaller set.

    Raises:
        UserError: if a set has fewer than two features, or dimensions differ.

    Source: arXiv:1801.01401; for the interval, Shao and Wu, "A general theory for
    jackknife variance estimation", 1989.
    """
    fakes = check_features(fakes, "fakes", min_rows=2)
    reals = check_features(reals, "reals", min_rows=2, like=fakes)
    smaller = min(len(fakes), len(reals))
    size = min(size, smaller)
    values = np.array(
        [
            squared_discrepancy(*(_subset(each, size, seed, number) for each in (fakes, reals)))
            for number in range(subsets)
        ]
    )
    value = float(values.mean())
    if size == smaller or subsets < 2:
        return Estimate(value)
    # Use the delete-d jackknife: subsets share images, so a bootstrap over them would give too
    # narrow an interval. With the variance s² over subsets, its squared error is
    # s² · size / (n - size), plus s² / subsets for the random choice of the subsets.
    factor = size / (smaller - size) + 1 / subsets
    return student_interval(value, float(values.std(ddof=1)) * factor**0.5, subsets)


def squared_discrepancy(one: Array, other: Array) -> float:
    """Estimate MMD² with `k(x, y) = (x · y / dimensions + 1)³` without bias; may be below 0.

    It is `mean_{i≠j} k(xᵢ, xⱼ) + mean_{i≠j} k(yᵢ, yⱼ) - 2 mean_{i,j} k(xᵢ, yⱼ)`, for two sets of
    float64 features `(n, dimensions)`, with at least two features each.
    """
    across = _sum_of_cubes(_base(one, other)) / (len(one) * len(other))
    return _mean_of_pairs(one) + _mean_of_pairs(other) - 2 * across


def _subset(features: Array, size: int, seed: int, number: int) -> Array:
    # Seed each subset by its number, so that a larger `subsets` keeps the first ones.
    chosen = np.random.default_rng((seed, number)).choice(len(features), size, replace=False)
    return features[chosen].astype(np.float64)


def _mean_of_pairs(features: Array) -> float:
    """Average the kernel over pairs of different features."""
    base, count = _base(features, features), len(features)
    # Subtract the diagonal, which would bias the estimate.
    return (_sum_of_cubes(base) - _sum_of_cubes(np.diagonal(base))) / (count * (count - 1))


def _base(one: Array, other: Array) -> Array:
    """Compute the cube root of the kernel for each pair."""
    # Compute in place: for many features, each matrix of pairs is large.
    base: Array = one @ other.T
    base /= one.shape[1]
    base += 1.0
    return base


def _sum_of_cubes(values: Array) -> float:
    # Multiply, because `values**3` uses the slow power function of floats.
    cubes = np.square(values)
    cubes *= values
    return float(cubes.sum())
