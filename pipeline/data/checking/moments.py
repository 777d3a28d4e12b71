"""Counts, means and covariances of features: merged from parts, and compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """What a set of feature vectors adds up to.

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
    return Moments(
        count,
        one.mean + step * (other.count / count),
        one.scatter + other.scatter + np.outer(step, step) * (one.count * other.count / count),
    )


def frechet_distance(one: Moments, other: Moments) -> float:
    """The Fréchet distance of the Gaussians that have two sets' moments.

    `d² = ‖m₁ - m₂‖² + tr S₁ + tr S₂ - 2 tr (S₁ S₂)^½`, with the last trace as the sum of the
    singular values of `S₁^½ S₂^½`, which loses no digits when the sets are nearly the same.

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal distributions",
    1982.
    """
    first, second = one.covariance, other.covariance
    common = np.linalg.svd(_root(first) @ _root(second), compute_uv=False).sum()
    means = np.square(one.mean - other.mean).sum()
    return float(np.sqrt(max(0.0, means + np.trace(first) + np.trace(second) - 2 * common)))


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    # Rounding may leave an eigenvalue of zero below zero.
    root: Array = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root
