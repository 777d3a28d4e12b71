"""A classifier that learns from fakes is right about reals as far as the fakes are."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.evaluation.statistics.classes import classification_accuracy, frechet_by_class
from pipeline.evaluation.statistics.frechet import fid_of, moments


def samples(count: int, seed: int = 0, apart: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes around three corners."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return draw.normal(size=(count, 4)) + apart * np.eye(3, 4)[labels], labels


def test_fakes_like_reals_teach_their_classes() -> None:
    found = classification_accuracy(*samples(150), *samples(120, seed=1))
    assert found.value > 0.97
    assert found.low < found.value


def test_accuracy_is_that_of_the_rule_that_is_best_for_the_fakes() -> None:
    """Two classes with one deviation: the border is half way, at 0."""
    draw = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    fakes = draw.normal(size=(4000, 1)) + (2 * labels - 1)[:, None]
    reals = draw.normal(size=(4000, 1)) + (2 * labels - 1)[:, None]
    found = classification_accuracy(fakes, labels, reals, labels)
    assert found.value == pytest.approx((labels == (reals[:, 0] > 0)).mean(), abs=0.01)
    assert classification_accuracy(fakes, 1 - labels, reals, labels).value == pytest.approx(
        1 - found.value
    )


def test_fakes_that_know_no_classes_teach_nothing() -> None:
    fakes, labels = samples(300, apart=0.0)
    assert classification_accuracy(fakes, labels, *samples(300, seed=1)).value < 0.6


def test_a_class_that_is_not_made_is_never_right() -> None:
    fakes, labels = samples(150)
    made = labels < 2
    found = classification_accuracy(fakes[made], labels[made], *samples(150, seed=1))
    assert found.value == pytest.approx(2 / 3, abs=0.05)


def test_accuracy_depends_on_scale_neither_of_features_nor_of_chance() -> None:
    fakes, labels = samples(150, apart=1.0)
    reals, real_labels = samples(150, seed=1, apart=1.0)
    scales = np.array([1.0, 1e-6, 1e6, 1.0])
    found = classification_accuracy(fakes, labels, reals, real_labels)
    assert classification_accuracy(fakes, labels, reals, real_labels) == found
    assert classification_accuracy(fakes * scales, labels, reals * scales, real_labels) == found


def test_distance_by_class_is_that_of_the_class_alone() -> None:
    (fakes, labels), (reals, real_labels) = samples(90), samples(60, seed=1)
    found = frechet_by_class(fakes, labels, reals, real_labels)
    assert list(found) == [0, 1, 2]
    for label, row in found.items():
        of_fakes, of_reals = fakes[labels == label], reals[real_labels == label]
        assert row.fid == fid_of(moments([of_fakes]), moments([of_reals]))
        assert (row.images, row.references, row.advice) == (30, 20, None)


def test_a_class_that_is_not_made_has_no_distance_and_few_images_are_told_of() -> None:
    (fakes, labels), (reals, real_labels) = samples(12), samples(60, seed=1)
    made = labels < 2
    found = frechet_by_class(fakes[made], labels[made], reals, real_labels)
    assert found[2].fid is None
    assert found[2].images == 0
    assert found[0].fid is not None
    assert found[0].advice is not None


def test_what_is_refused() -> None:
    fakes, labels = samples(30)
    with pytest.raises(UserError, match=r"two classes or more\. Received: \[0\]"):
        classification_accuracy(fakes, 0 * labels, fakes, labels)
    with pytest.raises(UserError, match=r"`real_labels` must be 30 integers"):
        classification_accuracy(fakes, labels, fakes, labels[:5])
    with pytest.raises(UserError, match=r"dtype=float64"):
        frechet_by_class(fakes, labels * 1.0, fakes, labels)
