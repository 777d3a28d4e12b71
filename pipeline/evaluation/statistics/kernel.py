"""KID: unbiased squared maximum mean discrepancy of features under a cubic kernel."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.statistics.arrays import Array, checked_features
from pipeline.evaluation.statistics.intervals import Estimate, around

SUBSETS = 100
SUBSET_SIZE = 1000


def kernel_distance(
    fakes: Array, reals: Array, *, seed: int, subsets: int = SUBSETS, size: int = SUBSET_SIZE
) -> Estimate:
    """Average the squared discrepancy of fakes `(n, dimensions)` and reals over random subsets.

    Subsets have `size` images of either side, or all of a side with fewer. There is no interval if
    a subset holds all images.

    Raises:
        UserError: if a side has fewer than two features, or dimensions differ.

    Source: arXiv:1801.01401; for the interval, Shao and Wu, "A general theory for
    jackknife variance estimation", 1989.
    """
    fakes = checked_features(fakes, "fakes", least=2)
    reals = checked_features(reals, "reals", least=2, like=fakes)
    smaller = min(len(fakes), len(reals))
    size = min(size, smaller)
    values = np.array(
        [
            squared_discrepancy(*(_subset(side, size, seed, number) for side in (fakes, reals)))
            for number in range(subsets)
        ]
    )
    value = float(values.mean())
    if size == smaller or subsets < 2:
        return Estimate(value)
    # Subsets share images, so a bootstrap over them would give too narrow an interval: the delete-d
    # jackknife has the squared error s² · size / (n - size), plus s² / subsets for their choice.
    factor = size / (smaller - size) + 1 / subsets
    return around(value, float(values.std(ddof=1)) * factor**0.5, subsets)


def squared_discrepancy(one: Array, other: Array) -> float:
    """Estimate MMD² with `k(x, y) = (x · y / dimensions + 1)³` without bias; may be below 0.

    `mean_{i≠j} k(xᵢ, xⱼ) + mean_{i≠j} k(yᵢ, yⱼ) - 2 mean_{i,j} k(xᵢ, yⱼ)`, of float64 features
    `(n, dimensions)`, at least two on each side.
    """
    across = _sum_of_cubes(_base(one, other)) / (len(one) * len(other))
    return _mean_of_pairs(one) + _mean_of_pairs(other) - 2 * across


def _subset(features: Array, size: int, seed: int, number: int) -> Array:
    # Seeded per subset, so that more subsets keep the first ones.
    chosen = np.random.default_rng((seed, number)).choice(len(features), size, replace=False)
    return features[chosen].astype(np.float64)


def _mean_of_pairs(features: Array) -> float:
    """Average the kernel over pairs of different features."""
    base, count = _base(features, features), len(features)
    # Without the diagonal, which would bias the estimate.
    return (_sum_of_cubes(base) - _sum_of_cubes(np.diagonal(base))) / (count * (count - 1))


def _base(one: Array, other: Array) -> Array:
    """Compute the cubic root of the kernel for each pair."""
    # In place: for many features, each matrix of pairs is large.
    base: Array = one @ other.T
    base /= one.shape[1]
    base += 1.0
    return base


def _sum_of_cubes(values: Array) -> float:
    # Products, because `values**3` takes the slow power of floats.
    cubes = np.square(values)
    cubes *= values
    return float(cubes.sum())
