"""FID: moments of a stream of features, their Fréchet distance, FID∞ and intervals.

Source: arXiv:1706.08500, appendix A1 (FID); arXiv:1911.07023 (FID∞).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from pipeline.data.checking.moments import Moments, merged, moments_of, squared_frechet_distance
from pipeline.errors import UserError
from pipeline.evaluation.batching import rebatch
from pipeline.evaluation.statistics.arrays import Array, checked_features
from pipeline.evaluation.statistics.intervals import Estimate, around

CHUNK = 8192
DRAWS = 10  # arXiv:1911.07023 extrapolates from 5,000 of 50,000 images on.


class FrechetEstimates(NamedTuple):
    """FID for the given and for infinitely many images, and a warning against trusting them."""

    fid: Estimate
    infinity: Estimate
    advice: str | None


def moments(batches: Iterable[Array]) -> Moments:
    """Compute the moments of features in batches, `(any, dimensions)`, of any float type.

    Raises:
        UserError: if a feature is not finite, or there are none.
    """
    total: Moments | None = None
    checked = (checked_features(batch, "batches", least=0) for batch in batches)
    # Chunks of one size, so that the result does not depend on the batches, bit for bit.
    for chunk in rebatch(checked, CHUNK):
        # float64, because FID is a small difference of large traces.
        part = moments_of(chunk.astype(np.float64, copy=False))
        total = part if total is None else merged(total, part)
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
    """Return a warning if the covariance of that number of images lacks full rank, else None."""
    # The mean takes one degree of freedom, so equal numbers are too few.
    if count > dimensions:
        return None
    return (
        f"{count} images give a covariance of {dimensions} dimensions a rank of "
        f"{max(0, count - 1)}: FID is far too high. Take more than {dimensions} images, or KID, "
        "which has no such bias"
    )


def draws_of(features: Array, *, seed: int) -> list[Moments]:
    """Deal features, `(n, dimensions)`, out at random into equal draws; give the moments of each.

    Raises:
        UserError: if a draw would have fewer than two features.
    """
    features = checked_features(features, "features", least=2 * DRAWS)
    # At random, because images may be sorted by class.
    order = np.random.default_rng(seed).permutation(len(features))
    return [moments([features[share]]) for share in np.array_split(order, DRAWS)]


def frechet_estimates(draws: Sequence[Moments], references: Moments) -> FrechetEstimates:
    """Estimate FID and FID∞ with intervals from independent draws of equal size.

    FID is measured on all draws together. With n images its expectation is about `FID∞ + b / n`:
    the line through mean FIDs of unions of draws over `1 / n` reaches FID∞ at 0. Student's
    interval ignores the chance in the references.

    Source: arXiv:1911.07023. There, 15 random subsets of 5,000 to 50,000 images overlap.
    """
    points = []
    for together in range(1, len(draws) + 1):
        # Only divisors: with all images in every point, chance moves points and line together.
        if len(draws) % together == 0:
            unions = [
                reduce(merged, draws[first : first + together])
                for first in range(0, len(draws), together)
            ]
            distances = np.array([fid_of(union, references) for union in unions])
            points.append((np.mean([1 / union.count for union in unions]), distances))
    singles, everything = points[0][1], float(points[-1][1][0])
    # Of the single draws, as only those are independent; unions share images.
    error = float(singles.std(ddof=1)) / len(singles) ** 0.5 if len(singles) > 1 else 0.0
    inverse, means = np.array([(share, distances.mean()) for share, distances in points]).T
    infinity = float(np.polyfit(inverse, means, 1)[1]) if len(points) > 1 else everything
    return FrechetEstimates(
        around(everything, error, len(singles)),
        around(infinity, error, len(singles)),
        _advice_on_draws(draws, references),
    )


def _advice_on_draws(draws: Sequence[Moments], references: Moments) -> str | None:
    """Return a warning about all images, or else about single draws."""
    dimensions = len(references.mean)
    fewest = min(draw.count for draw in draws)
    of_all = advice(min(references.count, sum(draw.count for draw in draws)), dimensions)
    if of_all is not None or fewest > dimensions:
        return of_all
    return (
        f"draws of {fewest} images are too few for {dimensions} dimensions: FID∞ is off, and the "
        f"intervals are too wide. Take more than {len(draws) * dimensions} images, or fewer draws"
    )
