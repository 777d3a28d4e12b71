"""Means and covariances of features, merged from parts, and the Fréchet distance of two sets.

Evaluation uses this for FID, and `growgan data check` to compare sets of pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Moments of a set of feature vectors x, from which those of a union can be computed."""

    count: int
    mean: Array
    scatter: Array  # Scatter matrix `Σ (x - mean)(x - mean)ᵀ`, not divided by the count.

    @property
    def covariance(self) -> Array:
        """Biased covariance `scatter / count`; zero for one vector or none."""
        return self.scatter / max(1, self.count)


def moments_of(features: Array) -> Moments:
    """Compute the moments of feature vectors `(count, dimensions)`."""
    if not len(features):
        size = features.shape[1]
        return Moments(0, np.zeros(size), np.zeros((size, size)))
    mean = features.mean(0)
    centred = features - mean
    return Moments(len(features), mean, centred.T @ centred)


def merge_moments(one: Moments, other: Moments) -> Moments:
    """Compute the moments of the union of two sets.

    With d = mean₂ - mean₁, n = n₁ + n₂: `mean = mean₁ + d n₂/n` and
    `scatter = scatter₁ + scatter₂ + d dᵀ n₁ n₂/n`.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm", 1979.
    """
    count = one.count + other.count
    if not count:
        return one
    # Use the difference of the means: subtracting large sums of squares would lose digits.
    step = other.mean - one.mean
    scatter = np.outer(step, step)
    # Work in place, because with 2,048 dimensions each copy takes 32 MiB.
    scatter *= one.count * other.count / count
    scatter += one.scatter
    scatter += other.scatter
    return Moments(count, one.mean + step * (other.count / count), scatter)


def frechet_distance(one: Moments, other: Moments) -> float:
    """Compute the Fréchet distance d, not squared, of two sets taken as Gaussians."""
    squared = squared_frechet_distance(one.mean, one.covariance, other.mean, other.covariance)
    return float(np.sqrt(squared))


def squared_frechet_distance(
    mean: Array, covariance: Array, other_mean: Array, other_covariance: Array
) -> float:
    """Compute the squared Fréchet distance of two Gaussians, at least 0.

    `d² = ‖m₁ - m₂‖² + tr S₁ + tr S₂ - 2 tr (S₁ S₂)^½` for means m and covariances S. With any
    factors `S = L Lᵀ` the last trace is the sum of the singular values of `L₁ᵀ L₂`: their squares
    are the eigenvalues of `S₁ S₂`.

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal distributions",
    1982.
    """
    # Use singular values instead of roots of eigenvalues: roots of small numbers would lose digits
    # when the sets are nearly the same.
    common = np.linalg.svd(_factor(covariance).T @ _factor(other_covariance), compute_uv=False)
    means = np.square(mean - other_mean).sum()
    squared = means + np.trace(covariance) + np.trace(other_covariance) - 2 * common.sum()
    return float(np.maximum(squared, 0.0))


def _factor(covariance: Array) -> Array:
    """Return L with `covariance = L Lᵀ`, (dimensions, rank)."""
    # Cholesky with pivoting also handles a singular covariance: L then has fewer columns.
    lower, pivots, rank, _ = lapack.dpstrf(covariance, lower=1)
    factor = np.empty((len(covariance), rank))
    factor[pivots - 1] = np.tril(lower)[:, :rank]
    return factor
