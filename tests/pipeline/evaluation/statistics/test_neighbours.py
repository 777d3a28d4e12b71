"""Neighbourhoods are those of plain loops, ties included, and copies are counted."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from pipeline.errors import UserError
from pipeline.evaluation.statistics import neighbours
from pipeline.evaluation.statistics.intervals import estimate_share
from pipeline.evaluation.statistics.neighbours import (
    DENSITY_NEIGHBOURS,
    MANIFOLD_NEIGHBOURS,
    memorisation,
    nearest,
    neighbourhood_scores,
    radii_of,
)


def features(count: int, size: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size))


def by_loops(fakes: np.ndarray, reals: np.ndarray, k: int, wide: int) -> list[float]:
    """Precision, recall, density, coverage, of squared distances that are exact for integers."""

    def squared(x: np.ndarray, y: np.ndarray) -> float:
        return sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True))

    def radius(index: int, among: np.ndarray, kth: int) -> float:
        others = [squared(among[index], y) for j, y in enumerate(among) if j != index]
        return sorted(others)[kth - 1]

    def balls(among: np.ndarray, kth: int) -> list[float]:
        return [radius(i, among, kth) for i in range(len(among))]

    narrow, of_fakes, of_reals = balls(reals, k), balls(fakes, k), balls(reals, wide)
    apart = [[squared(fake, real) for real in reals] for fake in fakes]
    n, m = range(len(fakes)), range(len(reals))
    return [
        sum(any(apart[i][j] <= narrow[j] for j in m) for i in n) / len(fakes),
        sum(any(apart[i][j] <= of_fakes[i] for i in n) for j in m) / len(reals),
        sum(apart[i][j] <= of_reals[j] for i in n for j in m) / (wide * len(fakes)),
        sum(any(apart[i][j] <= of_reals[j] for i in n) for j in m) / len(reals),
    ]


def values(fakes: np.ndarray, reals: np.ndarray, k: int = 3, wide: int = 5) -> list[float]:
    scores = neighbourhood_scores(
        fakes, reals, manifold_neighbours=k, density_neighbours=wide, seed=0
    )
    return [score.value for score in scores]


GRID = arrays(np.int64, st.tuples(st.integers(4, 12), st.just(2)), elements=st.integers(-3, 3))


@settings(max_examples=60, deadline=None)
@given(GRID, GRID)
def test_scores_on_a_grid_full_of_ties_are_those_of_plain_loops(
    fakes: np.ndarray, reals: np.ndarray
) -> None:
    assert values(fakes, reals, 2, 3) == pytest.approx(by_loops(fakes, reals, 2, 3), abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e5])
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_plain_loops_wherever_the_features_lie(
    seed: int, offset: float
) -> None:
    fakes, reals = features(40, 3, seed) * 0.7 + 0.5, features(30, 3, seed + 9)
    expected = by_loops(fakes, reals, 3, 5)
    assert all(0 < value < 2 for value in expected)
    assert values(fakes + offset, reals + offset) == pytest.approx(expected, abs=1e-12)


def test_scores_do_not_depend_on_the_blocks_or_the_order() -> None:
    fakes, reals = features(40), features(30, seed=1)
    expected = neighbourhood_scores(fakes, reals, seed=0)
    with mock.patch.object(neighbours, "BLOCK", 64):
        assert neighbourhood_scores(fakes, reals, seed=0) == expected
    radii = radii_of(reals, MANIFOLD_NEIGHBOURS, DENSITY_NEIGHBOURS)
    assert neighbourhood_scores(fakes, reals, radii=radii, seed=0) == expected
    draw = np.random.default_rng(0)
    assert values(draw.permutation(fakes), draw.permutation(reals)) == pytest.approx(
        [score.value for score in expected]
    )


def test_equal_sets_overlap_and_distant_ones_do_not() -> None:
    one = features(50)
    precision, recall, density, coverage = values(one, np.random.default_rng(0).permutation(one))
    assert (precision, recall, coverage) == (1, 1, 1)
    # Each real's ball holds itself and its 5 neighbours.
    assert density == pytest.approx(6 / 5)
    assert values(one, one + 100) == [0, 0, 0, 0]


def test_collapse_keeps_precision_and_loses_recall_and_coverage() -> None:
    reals = features(200)
    collapsed = reals[:1] + 1e-9 * features(100, seed=1)
    precision, recall, _, coverage = values(collapsed, reals)
    assert precision == 1
    assert recall <= 0.01
    assert coverage < 0.15


def test_every_score_lies_within_its_interval() -> None:
    fakes, reals = features(60) + 0.5, features(80, seed=1)
    found = neighbourhood_scores(fakes, reals, seed=0)
    for score in found:
        assert score.low < score.value < score.high
    assert found.precision.high <= 1


@pytest.mark.parametrize(
    ("fakes", "reals"),
    [
        (500, 120),
        *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in ((200, 1500), (500, 500))),
    ],
)
def test_recall_and_coverage_vary_as_their_intervals_say_when_fakes_are_drawn_anew(
    fakes: int, reals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = features(reals, 5, seed=1000)
    found = neighbourhood_scores(0.8 * features(fakes, 5, seed=0), known, seed=0)
    monkeypatch.setattr(neighbours, "PARTS", 2)
    drawn = [
        neighbourhood_scores(0.8 * features(fakes, 5, seed), known, seed=0) for seed in range(1, 41)
    ]
    for name in ("recall", "coverage"):
        estimate = getattr(found, name)
        spread = np.std([getattr(each, name).value for each in drawn], ddof=1)
        # Never far too narrow; coverage of all reals but a few is told with some caution.
        assert 1.5 * spread <= (estimate.high - estimate.low) / 2 < 4.5 * spread + 0.002


def test_radii_in_a_part_are_those_of_the_part_alone() -> None:
    points = np.concatenate([features(50), features(5)])  # five of them twice
    parts = np.random.default_rng(0).random((4, 55)) < 0.5
    with mock.patch.object(neighbours, "BLOCK", 400):
        found = neighbours.radii_in(parts, points, 3)
    for part, radii in zip(parts, found, strict=True):
        [alone] = radii_of(points[part], 3)
        np.testing.assert_allclose(radii[part], alone, rtol=1e-9, atol=1e-9)
        assert (radii[~part] == -1).all()


def test_nearest_are_those_of_a_full_sort_and_first_ones_come_first() -> None:
    queries, references = features(20), np.concatenate([features(30, seed=1)] * 2)
    apart = np.sqrt(np.square(queries[:, None] - references).sum(-1))
    order = np.argsort(apart.round(12), axis=1, kind="stable")[:, :3]
    with mock.patch.object(neighbours, "BLOCK", 150):
        found = nearest(queries, references, neighbours=3)
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_allclose(found.distances, np.take_along_axis(apart, order, 1), rtol=1e-12)


def test_tiny_distances_far_from_the_centre_are_exact() -> None:
    references = np.concatenate([features(20) * 1e3, features(20) * 1e3 + 1e6])
    steps = 1e-3 * features(40, seed=1)
    found = nearest(references + steps, references)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(40))
    np.testing.assert_allclose(
        found.distances[:, 0],
        np.sqrt(np.square((references + steps) - references).sum(1)),
        rtol=1e-12,
    )
    assert nearest(references, references).distances.max() == 0


def test_memorisation_of_copies_of_new_images_and_of_noise() -> None:
    training, held_out = features(1500, seed=1), features(1500, seed=2)
    fresh = features(1500, seed=3)
    copies = training[:1500] + 1e-3 * fresh
    for share in (0.0, 0.3, 1.0):
        mixed = np.concatenate([copies[: int(share * 1500)], fresh[int(share * 1500) :]])
        found = memorisation(mixed, training, held_out)
        expected = share + (1 - share) * 0.01
        assert found.value == pytest.approx(expected, abs=0.01)
        assert found.low <= expected <= found.high
    assert memorisation(fresh + 50, training, held_out).value == 0


def test_the_interval_of_memorisation_holds_the_truth() -> None:
    """In one dimension against one training image the distances are those of a half normal."""
    held = []
    for seed in range(150):
        draw = np.random.default_rng(seed)
        found = memorisation(
            draw.normal(size=(300, 1)), np.zeros((1, 1)), draw.normal(size=(400, 1))
        )
        held.append(found.low <= 0.01 <= found.high)
    assert np.mean(held) >= 0.95


def test_the_interval_of_memorisation_joins_that_of_the_quantile_and_wilson_s() -> None:
    held_out = np.arange(1, 401.0)[:, None]  # of which 1 % is 4
    fakes = np.arange(0.25, 12.5, 0.5)[:, None]
    # Of 400 the numbers below the true quantile are 1 to 9 in 97.5 of 100 sets:
    below = binom(400, 0.01).cdf(np.arange(20))
    assert below[0] > 0.0125
    assert below[8] < 0.9875 < below[9]
    found = memorisation(fakes, np.zeros((1, 1)), held_out)
    assert found.value == (fakes < np.quantile(held_out, 0.01)).mean() == 10 / 25
    # so the quantile is from 0 to the 10th distance.
    assert found.low == 0
    assert found.high == estimate_share(20, 25, confidence=0.975).high
    found = memorisation(fakes, np.zeros((1, 1)), np.arange(1, 1001.0)[:, None])
    below = binom(1000, 0.01).cdf(np.arange(30))
    least = np.flatnonzero(below >= 0.0125)[0]
    assert least > 0
    assert found.low == estimate_share(2 * least, 25, confidence=0.975).low


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match=r"`fakes` must be at least 6 features"):
        neighbourhood_scores(features(5), features(20), seed=0)
    with pytest.raises(UserError, match=r"`references` must be at least 3 features"):
        nearest(features(5), features(2), neighbours=3)
    with pytest.raises(UserError, match=r"`held_out` must be at least 100 features"):
        memorisation(features(9), features(9), features(99))
