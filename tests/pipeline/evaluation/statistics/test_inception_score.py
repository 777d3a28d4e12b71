"""The Inception score is that of plain loops, and of distributions that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.evaluation.statistics.inception_score import inception_score


def distributions(count: int, classes: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), count)


def by_loops(rows: np.ndarray) -> float:
    mean = [sum(row[c] for row in rows) / len(rows) for c in range(rows.shape[1])]
    total = sum(
        p * math.log(p / q) for row in rows for p, q in zip(row, mean, strict=True) if p > 0
    )
    return math.exp(total / len(rows))


def test_score_is_that_of_plain_loops() -> None:
    rows = distributions(40)
    assert inception_score(rows, seed=0, splits=1).value == pytest.approx(by_loops(rows), rel=1e-12)
    order = np.random.default_rng(3).permutation(40)
    parts = [by_loops(rows[part]) for part in np.array_split(order, 4)]
    found = inception_score(rows, seed=3, splits=4)
    assert found.value == pytest.approx(np.mean(parts), rel=1e-12)
    assert found.high == pytest.approx(
        np.mean(parts) + 3.182446 * np.std(parts, ddof=1) / 2, rel=1e-6
    )


def test_sure_and_even_is_the_number_of_classes_and_unsure_or_one_class_is_1() -> None:
    sure = np.eye(7)[np.arange(70) % 7]
    assert inception_score(sure, seed=0, splits=1).value == pytest.approx(7)
    assert inception_score(np.full((70, 7), 1 / 7), seed=0).value == pytest.approx(1)
    assert inception_score(np.eye(7)[np.zeros(70, int)], seed=0).value == pytest.approx(1)


def test_images_sorted_by_class_are_scored_as_mixed_ones() -> None:
    sorted_ = np.eye(10)[np.repeat(np.arange(10), 100)]
    assert inception_score(sorted_, seed=0).value > 9


@pytest.mark.parametrize(
    "rows", [np.full((20, 4), 0.3), np.tile([1.5, -0.5], (20, 1)), np.zeros((20, 3))]
)
def test_rows_that_are_no_distributions_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(UserError, match="`probabilities` must be at least 0, and 1 in sum"):
        inception_score(rows, seed=0)


def test_fewer_images_than_splits_are_refused() -> None:
    with pytest.raises(UserError, match="`probabilities` must be at least 10"):
        inception_score(distributions(9), seed=0)
