from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.checking import shift as shifting
from pipeline.data.checking import survey as surveying
from pipeline.data.checking.report import Survey
from pipeline.data.checking.shift import shift
from pipeline.data.checking.survey import survey

Surveyed = Callable[..., Survey]
COUNT = 1000


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Draw coloured blots; (1000, 16, 16, 3)."""
    draw = np.random.default_rng(0)
    coarse = draw.normal(120, 50, (COUNT, 4, 4, 3)) + draw.normal(0, 30, (COUNT, 1, 1, 3))
    return np.clip(np.kron(coarse, np.ones((1, 4, 4, 1))), 0, 255).astype(np.uint8)


@pytest.fixture
def surveyed(tmp_path: Path) -> Surveyed:
    """Survey an array of pictures, with labels or not."""

    def run(images: np.ndarray, labels: np.ndarray | None = None) -> Survey:
        if labels is None:
            np.save(tmp_path / "pictures.npy", images)
            return survey(str(tmp_path / "pictures.npy"))
        np.savez(tmp_path / "pictures.npz", images=images, labels=labels)
        return survey(str(tmp_path / "pictures.npz"))

    return run


def test_a_set_has_not_moved_from_itself(images: np.ndarray, surveyed: Surveyed) -> None:
    found = surveyed(images, np.arange(COUNT) % 3)
    moved = shift(found, surveyed(images[::-1], (np.arange(COUNT) % 3)[::-1]))
    assert moved.colour == pytest.approx((0, 0, 0), abs=1e-8)
    assert moved.features == pytest.approx(0, abs=1e-4)
    assert (moved.class_shares, moved.new_pictures, moved.vanished_pictures) == (0, 0, 0)
    assert moved.new_classes == moved.vanished_classes == ()


def test_a_random_part_has_moved_by_chance(images: np.ndarray, surveyed: Surveyed) -> None:
    part = np.random.default_rng(1).permutation(COUNT)[:300]
    moved = shift(surveyed(images), surveyed(images[part]))
    assert moved.largest_colour < 0.1
    assert 0 < moved.features < 1.5 * moved.features_by_chance
    assert moved.new_pictures == 0
    assert moved.vanished_pictures == 0.7


def test_chance_is_what_other_pictures_of_the_kind_do(
    images: np.ndarray, surveyed: Surveyed
) -> None:
    one, other = surveyed(images[:700]), surveyed(images[700:])
    moved = shift(one, other)
    assert moved.features == pytest.approx(moved.features_by_chance, rel=0.3)
    assert moved.new_pictures == moved.vanished_pictures == 1


def test_inverted_colours_are_far_away(images: np.ndarray, surveyed: Surveyed) -> None:
    light = images // 2 + 120
    moved = shift(surveyed(light), surveyed(255 - light))
    assert moved.largest_colour > 1
    assert moved.features > 1
    assert moved.features > 10 * moved.features_by_chance


def test_numbers_are_those_of_numpy(images: np.ndarray, surveyed: Surveyed) -> None:
    before, after = images[:600], np.clip(images[500:] * 0.7 + 40, 0, 255).astype(np.uint8)
    one, other = surveyed(before), surveyed(after)
    moved = shift(one, other)
    pixels = before.reshape(-1, 3).astype(float)
    expected = (after.reshape(-1, 3).mean(0) - pixels.mean(0)) / pixels.std(0)
    np.testing.assert_allclose(moved.colour, expected, rtol=1e-6)

    first, second = (found.features.moments(1) for found in (one, other))
    product = first.covariance @ second.covariance
    squared = (
        np.square(first.mean - second.mean).sum()
        + np.trace(first.covariance + second.covariance)
        - 2 * np.sqrt(np.maximum(0, np.linalg.eigvals(product).real)).sum()
    )
    spread = np.sqrt(np.trace(first.covariance))
    assert moved.features == pytest.approx(np.sqrt(squared) / spread, rel=1e-3)
    chance = one.features.halves_distance / spread * np.sqrt((1 + 600 / 500) / 4)
    assert moved.features_by_chance == pytest.approx(chance)


def test_classes_are_compared_by_their_shares(images: np.ndarray, surveyed: Surveyed) -> None:
    one = surveyed(images[:100], np.repeat([1, 2, 3], [50, 30, 20]))
    other = surveyed(images[:100], np.repeat([2, 3, 7], [40, 40, 20]))
    moved = shift(one, other)
    assert moved.class_shares == pytest.approx((50 + 10 + 20 + 20) / 2 / 100)
    assert (moved.new_classes, moved.vanished_classes) == (("7",), ("1",))
    assert shift(one, surveyed(images[:100])).class_shares == 1
    assert shift(surveyed(images[:100]), surveyed(images[:50])).class_shares == 0


def test_the_share_of_new_pictures_is_estimated_from_samples(
    images: np.ndarray, surveyed: Surveyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = shift(surveyed(images[:800]), surveyed(images[600:]))
    assert (exact.new_pictures, exact.vanished_pictures) == (0.5, 0.75)
    monkeypatch.setattr(surveying, "SAMPLE", 200)
    monkeypatch.setattr(shifting, "SAMPLE", 200)
    estimate = shift(surveyed(images[:800]), surveyed(images[600:]))
    # 100 of the 400 contents lie below the end of the shorter reach: a standard error of 5 %.
    assert estimate.new_pictures == pytest.approx(0.5, abs=0.15)
    assert estimate.vanished_pictures == pytest.approx(0.75, abs=0.15)
    assert shift(surveyed(images), surveyed(images[:500])).new_pictures == 0


def test_a_set_of_one_colour_has_a_least_spread(surveyed: Surveyed) -> None:
    black, white = (surveyed(np.full((5, 8, 8, 3), level, np.uint8)) for level in (0, 255))
    moved = shift(black, white)
    assert moved.colour == (255, 255, 255)
    assert np.isfinite(moved.features)
    assert moved.features > 100
