"""Scores by nearest neighbours: precision, recall, density, coverage and memorisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from pipeline.evaluation.statistics.arrays import Array, check_features
from pipeline.evaluation.statistics.intervals import (
    CONFIDENCE,
    Estimate,
    estimate_mean,
    estimate_share,
    student_interval,
)

MANIFOLD_NEIGHBOURS = 3  # k of precision and recall.
DENSITY_NEIGHBOURS = 5  # k of density and coverage.
HELD_OUT_QUANTILE = 0.01
MIN_HELD_OUT = round(1 / HELD_OUT_QUANTILE)
"""Minimum number of held-out images; fewer have no 1 % quantile."""

PARTS = 20
"""Number of random parts of the fakes; their spread gives the error of recall and coverage."""
PART = 0.7
"""Share of the fakes in each part. Parts of half the fakes gave too narrow intervals of coverage
for few fakes; parts of this share gave 1.0 to 1.5 times the width measured on newly drawn fakes."""
NEAREST_KNOWN = 32
"""Number of nearest other fakes to keep for each fake; the chance that a part has fewer than 3 of
them is 10⁻⁹."""
BLOCK = 2**24  # Number of distances to compute at a time, 128 MiB.
CANCELLED = 1e-4
"""Squared distances below this share of the squared norms lose digits, and are recomputed."""
TIE = 1e-9
"""Allowed relative error of squared distances; radii are widened by it, so that ties are inside."""


class NeighbourhoodScores(NamedTuple):
    """Scores of how two sets of features overlap."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


class Neighbours(NamedTuple):
    """Nearest references of each query, nearest first: indices and distances, `(queries, k)`."""

    indices: Array
    distances: Array


def neighbourhood_scores(
    fakes: Array,
    reals: Array,
    *,
    radii: Array | None = None,
    manifold_neighbours: int = MANIFOLD_NEIGHBOURS,
    density_neighbours: int = DENSITY_NEIGHBOURS,
    seed: int,
) -> NeighbourhoodScores:
    """Compute improved precision and recall, density and coverage.

    Let `Bₖ(x)` be the closed ball around x up to its k-th nearest neighbour in its own set, fakes
    or reals. Precision is the share of fakes in any `B₃(real)`, recall the share of reals in any
    `B₃(fake)`. Density is the mean over fakes of `|{real: fake ∈ B₅(real)}| / 5`, and coverage the
    share of reals with any fake in `B₅(real)`. Intervals take the reals as fixed.

    Features are `(n, dimensions)`; `radii` are those of the reals for both k, as `radii_of` returns
    them, or None to compute them here.

    Raises:
        UserError: if a set has fewer than k neighbours, or dimensions differ.

    Source: arXiv:1904.06991, section 2; arXiv:2002.09797, section 3; for the parts, Shao and Wu,
    "A general theory for jackknife variance estimation", 1989.
    """
    max_k = max(manifold_neighbours, density_neighbours)
    fakes = check_features(fakes, "fakes", min_rows=max_k + 1)
    reals = check_features(reals, "reals", min_rows=max_k + 1, like=fakes)
    if radii is None:
        radii = radii_of(reals, manifold_neighbours, density_neighbours)
    real_radii, wide_real_radii = radii
    (fake_radii,) = radii_of(fakes, manifold_neighbours)
    parts = _draw_parts(len(fakes), seed)
    part_radii = radii_in(parts, fakes, manifold_neighbours)
    precise = np.zeros(len(fakes), bool)
    density = np.zeros(len(fakes))
    recalled = np.zeros(len(reals), bool)
    covered = np.zeros(len(reals), bool)
    recalled_by, covered_by = np.zeros((2, len(parts), len(reals)), bool)
    for rows, squared in _squared_distances(fakes, reals):
        precise[rows] = (squared <= real_radii).any(1)
        recalled |= (squared <= fake_radii[rows, None]).any(0)
        within = squared <= wide_real_radii
        density[rows] = within.sum(1) / density_neighbours
        covered |= within.any(0)
        # Count for all parts at once, by a matrix product; in floats, because integers are slow.
        covered_by |= parts[:, rows].astype(np.float32) @ within.astype(np.float32) > 0
        for found, radii_in_part in zip(recalled_by, part_radii[:, rows], strict=True):
            found |= (squared <= radii_in_part[:, None]).any(0)
    return NeighbourhoodScores(
        estimate_share(int(precise.sum()), len(precise)),
        _estimate_by_parts(recalled, recalled_by),
        estimate_mean(density),
        _estimate_by_parts(covered, covered_by),
    )


def _draw_parts(count: int, seed: int) -> Array:
    """Draw random parts of `count` samples, as masks `(PARTS, count)`."""
    random = np.random.default_rng(seed)
    size = round(PART * count)
    return np.stack([random.permutation(count) < size for _ in range(PARTS)])


def radii_in(subsets: Array, features: Array, neighbours: int) -> Array:
    """Compute the squared distance of each feature to its k-th nearest other within each subset.

    Call: masks `(subsets, n)`, features `(n, dimensions)` and k → radii, float64 `(subsets, n)`,
    widened by `TIE`; -1 for features not in the subset.
    """
    known = min(NEAREST_KNOWN, len(features) - 1)
    radii = np.full(subsets.shape, -1.0)
    for rows, squared in _squared_distances(features, features):
        # Set the distance of each feature to itself to -1, so that it comes first; then drop it.
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = -1.0
        near = np.argpartition(squared, known, axis=1)[:, : known + 1]
        order = np.argsort(np.take_along_axis(squared, near, 1), axis=1, kind="stable")
        near = np.take_along_axis(near, order, 1)[:, 1:]
        distances = np.take_along_axis(squared, near, 1)
        for subset, found in zip(subsets, radii, strict=True):
            column = (np.cumsum(subset[near], axis=1) < neighbours).sum(1).clip(max=known - 1)
            kth = distances[np.arange(len(near)), column]
            found[rows] = np.where(subset[rows], kth * (1 + TIE), -1.0)
    return radii


def _estimate_by_parts(inside: Array, inside_by: Array) -> Estimate:
    """Estimate the share of reals that are inside, with an interval from parts of the fakes.

    Masks are `(reals,)` for all fakes, and `(parts, reals)` for each part.
    """
    # Use the delete-d jackknife: the reals share all fakes, so they are no independent trials.
    error = float(inside_by.mean(1).std(ddof=1)) * (PART / (1 - PART)) ** 0.5
    found = student_interval(float(inside.mean()), error, len(inside_by))
    assert found.low is not None
    assert found.high is not None
    # Clip to [0, 1]: Student's interval may reach beyond.
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high))


def nearest(queries: Array, references: Array, *, neighbours: int = 1) -> Neighbours:
    """Find the nearest references of each query `(n, dimensions)`; ties go to the first.

    Raises:
        UserError: if there are fewer references than `neighbours`, or dimensions differ.
    """
    queries = check_features(queries, "queries")
    references = check_features(references, "references", min_rows=neighbours, like=queries)
    indices = np.empty((len(queries), neighbours), np.int64)
    distances = np.empty((len(queries), neighbours))
    for rows, squared in _squared_distances(queries, references):
        kth = np.partition(squared, neighbours - 1, axis=1)[:, neighbours - 1]
        for row, (values, limit) in enumerate(zip(squared, kth, strict=True), rows.start):
            # Select candidates with a margin for rounding errors; exact distances decide.
            near = np.flatnonzero(values <= limit * (1 + TIE))
            differences = references[near].astype(np.float64) - queries[row]
            exact = np.square(differences).sum(1)
            order = np.argsort(exact, kind="stable")[:neighbours]
            indices[row], distances[row] = near[order], np.sqrt(exact[order])
    return Neighbours(indices, distances)


def memorisation(fakes: Array, training: Array, held_out: Array) -> Estimate:
    """Estimate the share of fakes that are nearer to a training image than 99 % of held-out images.

    It is the share with `d(fake, training) < q`, where d is the distance to the nearest training
    image, and q the 1 % quantile of `d(held out, training)`. It is about 0.01 for a generator that
    draws from the distribution of the images, about 1 for one that copies training images, and 0
    for one that is far from all images.

    Raises:
        UserError: if a set is too small, or dimensions differ.

    Source: arXiv:2004.05675 for the three sets and the distance. Its test compares mean ranks, in
    which images far from all others outweigh a few copies; ours counts copies.
    """
    held_out = check_features(held_out, "held_out", min_rows=MIN_HELD_OUT)
    to_training = nearest(fakes, training).distances[:, 0]
    baseline = np.sort(nearest(held_out, training).distances[:, 0])
    # Combine two intervals of 97.5 % to one of 95 % (Bonferroni): order statistics around the
    # quantile, and Wilson's around the shares at those thresholds.
    each = (1 + CONFIDENCE) / 2
    tails = np.array([(1 - each) / 2, (1 + each) / 2])
    lowest, highest = stats.binom.ppf(tails, len(baseline), HELD_OUT_QUANTILE).astype(int)
    threshold = np.quantile(baseline, HELD_OUT_QUANTILE)
    low_threshold = baseline[lowest - 1] if lowest > 0 else 0.0
    high_threshold = baseline[highest]
    value, low, high = (
        estimate_share(int((to_training < limit).sum()), len(to_training), confidence=each)
        for limit in (threshold, low_threshold, high_threshold)
    )
    return Estimate(value.value, low.low, high.high)


def radii_of(features: Array, *neighbours: int) -> Array:
    """Compute the squared distance of each feature to its k-th nearest other, widened by `TIE`.

    Call: features `(n, dimensions)`, and several k → float64 `(number of k, n)`.

    Raises:
        UserError: if a feature has fewer than k neighbours.
    """
    features = check_features(features, "features", min_rows=max(neighbours) + 1)
    radii = np.empty((len(neighbours), len(features)))
    for rows, squared in _squared_distances(features, features):
        # Take index k: index 0 is the feature itself, at distance 0.
        radii[:, rows] = np.partition(squared, neighbours, axis=1)[:, neighbours].T
    return radii * (1 + TIE)


def _squared_distances(queries: Array, references: Array) -> Iterator[tuple[slice, Array]]:
    """Yield slices of the queries with their squared distances `(some queries, references)`."""
    centre = references.mean(0, dtype=np.float64)
    # Subtract the mean: large norms lose digits by cancellation in `‖x‖² + ‖y‖² - 2 x · y`.
    centred = references.astype(np.float64) - centre
    norms = np.square(centred).sum(1)
    # Compute in blocks, because a matrix of all distances may not fit in memory.
    at_once = max(1, BLOCK // len(references))
    pairs_at_once = max(1, BLOCK // queries.shape[1])
    for start in range(0, len(queries), at_once):
        part = queries[start : start + at_once].astype(np.float64)
        from_centre = part - centre
        sums = np.square(from_centre).sum(1)[:, None] + norms
        squared = sums - 2 * (from_centre @ centred.T)
        # Compute near pairs again as `‖x - y‖²`, in which no digits cancel.
        near_rows, near_columns = np.nonzero(squared <= CANCELLED * sums)
        for first in range(0, len(near_rows), pairs_at_once):
            some = slice(first, first + pairs_at_once)
            rows, columns = near_rows[some], near_columns[some]
            squared[rows, columns] = np.square(part[rows] - references[columns]).sum(1)
        yield slice(start, start + len(part)), squared
