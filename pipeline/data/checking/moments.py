"""Counts, means and covariances of features: merged from parts, and compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Moments of a set of feature vectors.

    Args:
        count: n, the number of vectors.
        mean: (dimensions,).
        scatter: `Σ (x - mean)(x - mean)ᵀ`, (dimensions, dimensions).
    """

    count: int
    mean: Array
    scatter: Array

    @property
    def covariance(self) -> Array:
        """`scatter / n`: zero of a single vector, and of none."""
        return self.scatter / max(1, self.count)


def moments_of(features: Array) -> Moments:
    """The moments of feature vectors `(count, dimensions)`."""
    if not len(features):
        size = features.shape[1]
        return Moments(0, np.zeros(size), np.zeros((size, size)))
    mean = features.mean(0)
    centred = features - mean
    return Moments(len(features), mean, centred.T @ centred)


def merged(one: Moments, other: Moments) -> Moments:
    """The moments of two sets together.

    With d = mean₂ - mean₁, n = n₁ + n₂: `mean = mean₁ + d n₂/n` and
    `scatter = scatter₁ + scatter₂ + d dᵀ n₁ n₂/n`, which stays exact where sums of squares would
    cancel.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm", 1979.
    """
    count = one.count + other.count
    if not count:
        return one
    step = other.mean - one.mean
    scatter = np.outer(step, step)
    # In place: of 2,048 dimensions each copy is 32 MiB.
    scatter *= one.count * other.count / count
    scatter += one.scatter
    scatter += other.scatter
    return Moments(count, one.mean + step * (other.count / count), scatter)


def frechet_distance(one: Moments, other: Moments) -> float:
    """The Fréchet distance d of the Gaussians that have two sets' moments."""
    squared = squared_frechet_distance(one.mean, one.covariance, other.mean, other.covariance)
    return float(np.sqrt(squared))


def squared_frechet_distance(
    mean: Array, covariance: Array, other_mean: Array, other_covariance: Array
) -> float:
    """The squared Fréchet distance of two Gaussians, at least 0.

    `d² = ‖m₁ - m₂‖² + tr S₁ + tr S₂ - 2 tr (S₁ S₂)^½`. With any factors `S = L Lᵀ` the last trace
    is the sum of the singular values of `L₁ᵀ L₂`, whose squares are the eigenvalues of `S₁ S₂`. No
    root of a small number is taken, so no digits are lost when the sets are nearly the same, and a
    singular covariance is only a factor with fewer columns.

    Args:
        mean: (dimensions,).
        covariance: (dimensions, dimensions), symmetric, without negative eigenvalues.
        other_mean: Mean of the other Gaussian.
        other_covariance: Covariance of the other Gaussian.

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal distributions",
    1982.
    """
    common = np.linalg.svd(_factor(covariance).T @ _factor(other_covariance), compute_uv=False)
    means = np.square(mean - other_mean).sum()
    squared = means + np.trace(covariance) + np.trace(other_covariance) - 2 * common.sum()
    return float(np.maximum(squared, 0.0))


def _factor(covariance: Array) -> Array:
    """L of `L Lᵀ`, (dimensions, rank): Cholesky's, with pivots, up to the numerical rank."""
    lower, pivots, rank, _ = lapack.dpstrf(covariance, lower=1)
    factor = np.empty((len(covariance), rank))
    factor[pivots - 1] = np.tril(lower)[:, :rank]
    return factor
