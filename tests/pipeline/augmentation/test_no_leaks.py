"""Below p = 0.8 what is done to reals can be told from what reals are: it need not be learned.

Source: arXiv:2006.06676, section 3.1 and appendix C: augmentations do not leak into what is
generated if no two distributions of images become the same. A turn or a mirror image with a
probability is a matrix on distributions over orientations, which can be inverted as long as images
are left alone more often than they are moved to any other place.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from tests.pipeline.augmentation.alone import Array, augmented, normals

COUNT = 20_000
LETTER = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], np.float32)
MOVES = list(itertools.product((False, True), range(4)))
"""Mirrored or not, then turns by 90°."""


def turned(image: Array, mirrored: bool, quarters: int) -> Array:
    return np.rot90(image[:, ::-1] if mirrored else image, quarters)


ORIENTATIONS = np.stack([turned(LETTER, *move) for move in MOVES])
UPRIGHT = np.array([0.65, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05])
LYING = np.array([0.05, 0.45, 0.02, 0.28, 0.05, 0.05, 0.05, 0.05])


def orientation_of(images: Array) -> Array:
    matches = (images[:, None] == ORIENTATIONS).all((2, 3))
    assert (matches.sum(1) == 1).all()
    return matches.argmax(1)


def probabilities(p: float) -> Array:
    """Return the probability of each of the moves."""
    mirror, turn = np.array([1 - p / 2, p / 2]), np.array([1 - 3 * p / 4, *[p / 4] * 3])
    return np.outer(mirror, turn).ravel()


def matrix(p: float) -> Array:
    """What becomes of a distribution over orientations."""
    total = np.zeros((8, 8))
    for move, probability in zip(MOVES, probabilities(p), strict=True):
        to = orientation_of(np.stack([turned(image, *move) for image in ORIENTATIONS]))
        total[to, np.arange(8)] += probability
    return total


def seen(distribution: Array, p: float, seed: int) -> Array:
    """Shares of the orientations among augmented images of a distribution."""
    chosen = np.random.default_rng(seed).choice(8, COUNT, p=distribution)
    images = augmented(ORIENTATIONS[chosen][..., None], p, "xflip", "rotate90", seed=seed)
    return np.bincount(orientation_of(images[..., 0]), minlength=8) / COUNT


@pytest.mark.parametrize("p", [0.2, 0.5, 0.79])
def test_nothing_is_done_more_often_than_any_one_thing(p: float) -> None:
    often = probabilities(p)
    assert often[0] > 1.4 * often[1:].max()
    counts = seen(np.eye(8)[0], p, seed=1) * COUNT
    assert counts.argmax() == 0
    assert scipy.stats.chisquare(counts, COUNT * matrix(p)[:, 0]).pvalue > 1e-4


@pytest.mark.parametrize("p", [0.2, 0.5, 0.79])
def test_the_distribution_of_the_images_can_be_read_from_augmented_ones(p: float) -> None:
    inverse = np.linalg.inv(matrix(p))
    found, errors = [], []
    for seed, distribution in enumerate((UPRIGHT, LYING)):
        shares = matrix(p) @ distribution
        covariance = inverse @ (np.diag(shares) - np.outer(shares, shares)) @ inverse.T / COUNT
        errors.append(np.sqrt(np.trace(covariance)))  # the root mean square of the distance
        found.append(inverse @ seen(distribution, p, seed))
        assert np.linalg.norm(found[-1] - distribution) < 3 * errors[-1]
    assert np.linalg.norm(found[0] - found[1]) > 4 * np.hypot(*errors)


def test_at_p_1_different_images_look_the_same() -> None:
    # The leak that the bound on p prevents.
    assert np.linalg.matrix_rank(matrix(1.0)) == 1
    shares = [seen(each, 1.0, seed) for seed, each in enumerate((UPRIGHT, LYING))]
    tables = np.stack(shares) * COUNT
    assert scipy.stats.chi2_contingency(tables).pvalue > 1e-4


def test_of_the_whole_geometry_a_share_of_images_is_left_alone() -> None:
    p, images = 0.3, normals(4000, 8, 8, 1)
    transforms = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
    found = augmented(images, p, *transforms)
    alone = (np.abs(found - images).max((1, 2, 3)) < 1e-5).sum()
    share = (1 - p / 2) * (1 - 3 * p / 4) ** 2 * (1 - p) ** 4
    assert abs(alone - len(images) * share) < 5 * np.sqrt(len(images) * share * (1 - share))
