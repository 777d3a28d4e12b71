"""FID, and FID∞, the estimate of FID for infinitely many generated images; both with intervals.

FID is the squared Fréchet distance between two sets of features, computed from their moments: the
mean and the scatter (covariance times degrees of freedom).

Source: arXiv:1706.08500, appendix A1 (FID); arXiv:1911.07023 (FID∞).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from pipeline.data.checking.moments import (
    Moments,
    merge_moments,
    moments_of,
    squared_frechet_distance,
)
from pipeline.errors import UserError
from pipeline.evaluation.batching import rebatch
from pipeline.evaluation.statistics.arrays import Array, check_features
from pipeline.evaluation.statistics.intervals import Estimate, student_interval

CHUNK = 8192  # Number of features to add to the moments at a time.
DRAWS = 10
"""Number of draws: FID∞ is extrapolated from a tenth of the images on, as in arXiv:1911.07023."""


class FrechetEstimates(NamedTuple):
    """FID for the given number of images, FID∞, and a warning against trusting them, or None."""

    fid: Estimate
    infinity: Estimate
    advice: str | None


def moments(batches: Iterable[Array]) -> Moments:
    """Compute the moments of features in batches, `(any, dimensions)`, of any float type.

    Raises:
        UserError: if a feature is not finite, or there are no features.
    """
    total: Moments | None = None
    checked = (check_features(batch, "batches", min_rows=0) for batch in batches)
    # Use chunks of one size, so that the result does not depend on the batches, bit for bit.
    for chunk in rebatch(checked, CHUNK):
        # Use float64, because FID is a small difference of large traces.
        part = moments_of(chunk.astype(np.float64, copy=False))
        total = part if total is None else merge_moments(total, part)
    if total is None:
        raise UserError("`batches` must hold features. Received: none")
    return total


def fid_of(one: Moments, other: Moments) -> float:
    """Compute FID: `‖m₁ - m₂‖² + tr (S₁ + S₂ - 2 (S₁ S₂)^½)` with unbiased covariances.

    Raises:
        UserError: if a set has fewer than two features, or dimensions differ.
    """
    if min(one.count, other.count) < 2 or one.mean.shape != other.mean.shape:
        raise UserError(
            "FID needs at least two features per set, and equal dimensions. Received: "
            + " and ".join(f"{it.count} of {len(it.mean)} dimensions" for it in (one, other))
        )
    return squared_frechet_distance(
        one.mean,
        one.scatter / (one.count - 1),
        other.mean,
        other.scatter / (other.count - 1),
    )


def advice(count: int, dimensions: int) -> str | None:
    """Return a warning if `count` images are too few for a covariance of full rank, else None."""
    # As many images as dimensions are too few: the mean takes one degree of freedom.
    if count > dimensions:
        return None
    return (
        f"{count} images give a covariance of {dimensions} dimensions a rank of "
        f"{max(0, count - 1)}: FID is far too high. Take more than {dimensions} images, or KID, "
        "which has no such bias"
    )


def moments_of_draws(features: Array, *, seed: int) -> list[Moments]:
    """Split features, `(n, dimensions)`, at random into 10 equal draws; compute moments of each.

    Raises:
        UserError: if a draw would have fewer than two features.
    """
    features = check_features(features, "features", min_rows=2 * DRAWS)
    # Shuffle first, because images may be sorted by class.
    order = np.random.default_rng(seed).permutation(len(features))
    return [moments([features[rows]]) for rows in np.array_split(order, DRAWS)]


def frechet_estimates(draws: Sequence[Moments], references: Moments) -> FrechetEstimates:
    """Estimate FID and FID∞ with intervals from independent draws of equal size.

    FID is measured on all draws together. With n images, its expected value is about
    `FID∞ + b / n`. So we fit a line to FID over `1 / n`, with unions of draws as points, and read
    FID∞ at `1 / n = 0`. The intervals are Student's; they take the references as exact.

    Source: arXiv:1911.07023, which uses 15 random, overlapping subsets of 5,000 to 50,000 images.
    """
    points = []
    for together in range(1, len(draws) + 1):
        # Use divisors of the number of draws only, so that the unions of every point together hold
        # all images: then all points have the same random error.
        if len(draws) % together == 0:
            unions = [
                reduce(merge_moments, draws[first : first + together])
                for first in range(0, len(draws), together)
            ]
            distances = np.array([fid_of(union, references) for union in unions])
            points.append((np.mean([1 / union.count for union in unions]), distances))
    singles, fid = points[0][1], float(points[-1][1][0])
    # Take the error from single draws, which are independent; unions share images.
    error = float(singles.std(ddof=1)) / len(singles) ** 0.5 if len(singles) > 1 else 0.0
    inverse, means = np.array([(inverse, distances.mean()) for inverse, distances in points]).T
    infinity = float(np.polyfit(inverse, means, 1)[1]) if len(points) > 1 else fid
    return FrechetEstimates(
        student_interval(fid, error, len(singles)),
        student_interval(infinity, error, len(singles)),
        _advice_on_draws(draws, references),
    )


def _advice_on_draws(draws: Sequence[Moments], references: Moments) -> str | None:
    """Return a warning if all images together, or else single draws, are too few."""
    dimensions = len(references.mean)
    fewest = min(draw.count for draw in draws)
    of_all = advice(min(references.count, sum(draw.count for draw in draws)), dimensions)
    if of_all is not None or fewest > dimensions:
        return of_all
    return (
        f"draws of {fewest} images are too few for {dimensions} dimensions: FID∞ is off, and the "
        f"intervals are too wide. Take more than {len(draws) * dimensions} images, or fewer draws"
    )
