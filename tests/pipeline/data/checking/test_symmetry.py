import numpy as np
import pytest

from pipeline.data.checking import symmetry
from pipeline.data.checking.symmetry import edges_of, nearer_share

ALL_ONE = np.zeros(400, np.int64)


def strokes(angles: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noisy pictures, each of a stroke through the middle that leans by an angle."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[-16:16, -16:16] + 0.5
    along = x * np.cos(angles)[:, None, None] + y * np.sin(angles)[:, None, None]
    light = 200 * np.exp(-((along / 3) ** 2)) + draw.normal(0, 5, (len(angles), 32, 32))
    return np.clip(light, 0, 255).astype(np.uint8)


def noise(share: float) -> float:
    return abs(share - 0.5) / (0.5 / np.sqrt(400))


def test_edges_are_mean_products_of_gradients() -> None:
    small = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    found = edges_of(small)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    light = small[1].astype(float)
    u = np.empty_like(light)
    u[:, 1:-1] = (light[:, 2:] - light[:, :-2]) / 2
    u[:, 0], u[:, -1] = light[:, 1] - light[:, 0], light[:, -1] - light[:, -2]
    v = np.empty_like(light)
    v[1:-1] = (light[2:] - light[:-2]) / 2
    v[0], v[-1] = light[1] - light[0], light[-1] - light[-2]
    products = np.stack([u * u, v * v, u * v]).reshape(3, 4, 8, 4, 8).mean((2, 4)).ravel()
    np.testing.assert_allclose(found[1], products / np.linalg.norm(products), rtol=1e-9)
    assert not edges_of(np.full((1, 32, 32), 9, np.uint8)).any()


def test_the_share_is_that_of_comparing_each_with_each() -> None:
    small = strokes(np.random.default_rng(1).normal(0.1, 0.5, 40))
    labels = np.arange(40) % 3
    wins = 0.0
    for i, picture in enumerate(small):
        others = [j for j in range(40) if j != i and labels[j] == labels[i]]
        own, mirrored = (
            sorted((edges_of(small[others]) @ edges_of(image[None])[0]).tolist())[-5]
            for image in (picture, np.fliplr(picture))
        )
        wins += (own > mirrored) + (own == mirrored) / 2
    assert nearer_share(small, labels) == (pytest.approx(wins / 40), 40)


def test_what_leans_one_way_is_not_its_mirror_image() -> None:
    lean = np.random.default_rng(0).normal(0.5, 0.1, 400)
    assert nearer_share(strokes(lean), ALL_ONE)[0] > 0.95


def test_what_leans_either_way_may_be_mirrored() -> None:
    either = np.random.default_rng(0).normal(0, 0.5, 400)
    assert noise(nearer_share(strokes(either), ALL_ONE)[0]) < 3


def test_a_second_shot_of_each_scene_hardly_counts_as_leaning(monkeypatch) -> None:
    draw = np.random.default_rng(0)
    small = draw.integers(0, 256, (200, 32, 32), np.uint8).repeat(2, axis=0)
    small[::2] += draw.integers(0, 9, (200, 32, 32), np.uint8)
    assert nearer_share(small, ALL_ONE)[0] < 0.65
    monkeypatch.setattr(symmetry, "NEIGHBOUR", 1)
    assert nearer_share(small, ALL_ONE)[0] > 0.9


def test_classes_that_lean_either_way_may_not() -> None:
    labels = np.arange(400) % 2
    lean = np.random.default_rng(0).normal(np.where(labels, 0.5, -0.5), 0.1)
    assert nearer_share(strokes(lean), labels)[0] > 0.95
    # Without the labels a stroke and its mirror image are both common.
    assert noise(nearer_share(strokes(lean), ALL_ONE)[0]) < 3


def test_pictures_that_are_their_own_mirror_images_are_ties() -> None:
    halves = np.random.default_rng(0).integers(0, 256, (400, 32, 16), np.uint8)
    small = np.concatenate([halves, halves[:, :, ::-1]], axis=2)
    assert nearer_share(small, ALL_ONE) == (0.5, 400)


def test_a_picture_alone_resembles_nothing() -> None:
    small = strokes(np.zeros(3))
    assert nearer_share(small, np.arange(3)) == (0, 0)
    assert nearer_share(small, np.array([0, 1, 1]))[1] == 2
    assert nearer_share(small[:0], ALL_ONE[:0]) == (0, 0)
