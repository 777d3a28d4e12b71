"""Scores by nearest neighbours: precision, recall, density, coverage and memorisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from pipeline.evaluation.statistics.arrays import Array, checked_features
from pipeline.evaluation.statistics.intervals import CONFIDENCE, Estimate, around, of_mean, of_share

MANIFOLD_NEIGHBOURS = 3
DENSITY_NEIGHBOURS = 5
HELD_OUT_QUANTILE = 0.01
LEAST_HELD_OUT = round(1 / HELD_OUT_QUANTILE)

PARTS = 20
"""Random parts of the fakes; their spread gives the error of recall and coverage."""
PART = 0.7
"""Share of the fakes in each part. Of few fakes, coverage varies less for halves than for all; with
this share, intervals were 1.0 to 1.5 times as wide as redrawn fakes showed to be right."""
NEAREST_KNOWN = 32
"""Nearest others of a fake to keep; a part has fewer than 3 of them once in 10⁹ times."""
BLOCK = 2**24
"""Distances to compute at a time, 128 MiB."""
CANCELLED = 1e-4
"""Share of the squared norms below which squared distances lose digits and are recomputed."""
TIE = 1e-9
"""Allowed relative error of squared distances; points within it of a radius count as inside."""


class NeighbourhoodScores(NamedTuple):
    """Overlap of two sets of features."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


class Neighbours(NamedTuple):
    """Nearest references of each query with Euclidean distances, `(queries, k)`, nearest first."""

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

    Let `Bₖ(x)` be the closed ball around x up to its k-th nearest neighbour in its set. Precision
    is the share of fakes in any `B₃(real)`, recall the share of reals in any `B₃(fake)`, density
    the mean of `|{real: fake ∈ B₅(real)}| / 5`, and coverage the share of reals with any fake in
    `B₅(real)`.

    Features are `(n, dimensions)`; `radii` are those of the reals for both k, by `radii_of`, if
    known. Intervals ignore the chance in the reals.

    Raises:
        UserError: if a set has fewer than k neighbours, or dimensions differ.

    Source: arXiv:1904.06991, section 2; arXiv:2002.09797, section 3; for the parts, Shao and Wu,
    "A general theory for jackknife variance estimation", 1989.
    """
    most = max(manifold_neighbours, density_neighbours)
    fakes = checked_features(fakes, "fakes", least=most + 1)
    reals = checked_features(reals, "reals", least=most + 1, like=fakes)
    if radii is None:  # Else they are known: most of the work for many reals.
        radii = radii_of(reals, manifold_neighbours, density_neighbours)
    of_reals, wide_of_reals = radii
    (of_fakes,) = radii_of(fakes, manifold_neighbours)
    parts = _parts(len(fakes), seed)
    of_parts = radii_in(parts, fakes, manifold_neighbours)
    precise = np.zeros(len(fakes), bool)
    dense = np.zeros(len(fakes))
    recalled = np.zeros(len(reals), bool)
    covered = np.zeros(len(reals), bool)
    recalled_by, covered_by = np.zeros((2, len(parts), len(reals)), bool)
    for rows, squared in _squared_distances(fakes, reals):
        precise[rows] = (squared <= of_reals).any(1)
        recalled |= (squared <= of_fakes[rows, None]).any(0)
        within = squared <= wide_of_reals
        dense[rows] = within.sum(1) / density_neighbours
        covered |= within.any(0)
        # A product of matrices counts for all parts at once; floats, as integers have no fast one.
        covered_by |= parts[:, rows].astype(np.float32) @ within.astype(np.float32) > 0
        for found, radii_in_part in zip(recalled_by, of_parts[:, rows], strict=True):
            found |= (squared <= radii_in_part[:, None]).any(0)
    return NeighbourhoodScores(
        of_share(int(precise.sum()), len(precise)),
        _of_parts(recalled, recalled_by),
        of_mean(dense),
        _of_parts(covered, covered_by),
    )


def _parts(count: int, seed: int) -> Array:
    """Draw random parts of `count` samples, as masks `(PARTS, count)`."""
    random = np.random.default_rng(seed)
    size = round(PART * count)
    return np.stack([random.permutation(count) < size for _ in range(PARTS)])


def radii_in(subsets: Array, features: Array, neighbours: int) -> Array:
    """Compute squared distances of features to their k-th nearest other in each of their subsets.

    Call: masks `(subsets, n)` and features `(n, dimensions)` → radii, float64 `(subsets, n)`,
    widened by `TIE`; -1 for features not in the subset.
    """
    known = min(NEAREST_KNOWN, len(features) - 1)
    radii = np.full(subsets.shape, -1.0)
    for rows, squared in _squared_distances(features, features):
        # -1 makes each feature its own nearest, before equal ones; that first one is dropped.
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = -1.0
        near = np.argpartition(squared, known, axis=1)[:, : known + 1]
        order = np.argsort(np.take_along_axis(squared, near, 1), axis=1, kind="stable")
        near = np.take_along_axis(near, order, 1)[:, 1:]
        distances = np.take_along_axis(squared, near, 1)
        for subset, found in zip(subsets, radii, strict=True):
            place = (np.cumsum(subset[near], axis=1) < neighbours).sum(1).clip(max=known - 1)
            nth = distances[np.arange(len(near)), place]
            found[rows] = np.where(subset[rows], nth * (1 + TIE), -1.0)
    return radii


def _of_parts(inside: Array, inside_by: Array) -> Estimate:
    """Estimate a share of reals, with an interval from parts of the fakes."""
    # The delete-d jackknife: all fakes decide on each real, so hits are no independent trials.
    error = float(inside_by.mean(1).std(ddof=1)) * (PART / (1 - PART)) ** 0.5
    found = around(float(inside.mean()), error, len(inside_by))
    assert found.low is not None
    assert found.high is not None
    # A share cannot leave [0, 1], but Student's interval may.
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high))


def nearest(queries: Array, references: Array, *, neighbours: int = 1) -> Neighbours:
    """Find the nearest references of each query `(n, dimensions)`; the first of equally near ones.

    Raises:
        UserError: if there are fewer references, or dimensions differ.
    """
    queries = checked_features(queries, "queries")
    references = checked_features(references, "references", least=neighbours, like=queries)
    indices = np.empty((len(queries), neighbours), np.int64)
    distances = np.empty((len(queries), neighbours))
    for rows, squared in _squared_distances(queries, references):
        kth = np.partition(squared, neighbours - 1, axis=1)[:, neighbours - 1]
        for row, (values, limit) in enumerate(zip(squared, kth, strict=True), rows.start):
            # Candidates, because distances have rounding errors; the exact ones decide below.
            near = np.flatnonzero(values <= limit * (1 + TIE))
            steps = references[near].astype(np.float64) - queries[row]
            exact = np.square(steps).sum(1)
            order = np.argsort(exact, kind="stable")[:neighbours]
            indices[row], distances[row] = near[order], np.sqrt(exact[order])
    return Neighbours(indices, distances)


def memorisation(fakes: Array, training: Array, held_out: Array) -> Estimate:
    """Estimate the share of fakes nearer to a training image than all but 1 % of held-out ones.

    It is the share with `d(fake, training) < q`, where d is the distance to the nearest training
    image, and q the 1 % quantile of `d(held out, training)`. A generator that draws from the
    distribution of the images has 0.01, one that copies about 1, one far from all images 0.

    Raises:
        UserError: if a set is too small, or dimensions differ.

    Source: arXiv:2004.05675 for the three samples and the distance. Its test compares mean ranks,
    where images far from all others outweigh a few copies; ours counts copies.
    """
    # Fewer have no 1 % quantile.
    held_out = checked_features(held_out, "held_out", least=LEAST_HELD_OUT)
    to_training = nearest(fakes, training).distances[:, 0]
    baseline = np.sort(nearest(held_out, training).distances[:, 0])
    # Two intervals, each at 97.5 %, hold together at 95 %: the order statistics around the
    # quantile, and Wilson's around the shares at those.
    each = (1 + CONFIDENCE) / 2
    tails = np.array([(1 - each) / 2, (1 + each) / 2])
    lowest, highest = stats.binom.ppf(tails, len(baseline), HELD_OUT_QUANTILE).astype(int)
    threshold = np.quantile(baseline, HELD_OUT_QUANTILE)
    least = baseline[lowest - 1] if lowest > 0 else 0.0
    most = baseline[highest]
    value, low, high = (
        of_share(int((to_training < limit).sum()), len(to_training), confidence=each)
        for limit in (threshold, least, most)
    )
    return Estimate(value.value, low.low, high.high)


def radii_of(features: Array, *neighbours: int) -> Array:
    """Compute squared distances of each feature to its k-th nearest other, widened by `TIE`.

    Call: features `(n, dimensions)`, and several k → float64 `(number of k, n)`.

    Raises:
        UserError: if a feature has fewer than k neighbours.
    """
    features = checked_features(features, "features", least=max(neighbours) + 1)
    radii = np.empty((len(neighbours), len(features)))
    for rows, squared in _squared_distances(features, features):
        # Each feature is its own nearest, at distance 0, so the k-th other has index k.
        radii[:, rows] = np.partition(squared, neighbours, axis=1)[:, neighbours].T
    return radii * (1 + TIE)


def _squared_distances(queries: Array, references: Array) -> Iterator[tuple[slice, Array]]:
    """Yield slices of the queries with their squared distances `(some queries, references)`."""
    centre = references.mean(0, dtype=np.float64)
    # Centred, because large means cancel digits in `‖x‖² + ‖y‖² - 2 x · y`.
    centred = references.astype(np.float64) - centre
    norms = np.square(centred).sum(1)
    # In blocks, because all distances would need n · m numbers.
    at_once = max(1, BLOCK // len(references))
    pairs_at_once = max(1, BLOCK // queries.shape[1])
    for start in range(0, len(queries), at_once):
        part = queries[start : start + at_once].astype(np.float64)
        from_centre = part - centre
        sums = np.square(from_centre).sum(1)[:, None] + norms
        squared = sums - 2 * (from_centre @ centred.T)
        # Near pairs again as `‖x - y‖²`, in which no digits cancel.
        near_rows, near_columns = np.nonzero(squared <= CANCELLED * sums)
        for first in range(0, len(near_rows), pairs_at_once):
            some = slice(first, first + pairs_at_once)
            rows, columns = near_rows[some], near_columns[some]
            squared[rows, columns] = np.square(part[rows] - references[columns]).sum(1)
        yield slice(start, start + len(part)), squared
