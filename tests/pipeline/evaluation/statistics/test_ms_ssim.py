"""MS-SSIM is that of an independent formula and of the alarm, and pairs are of one class."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import correlate2d

from pipeline.errors import UserError
from pipeline.evaluation.statistics.ms_ssim import ms_ssim, pairs_of_one_class, similarity_of_pairs
from pipeline.training.synthesis.diversity import SHIFTS, diversity
from pipeline.training.synthesis.ms_ssim_scales import scale_weights, window_of


def images(count: int, side: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Smooth and different."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, 4, 4, channels))
    fine = coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    return np.clip(fine + random.normal(0, 12, fine.shape), 0, 255).astype(np.uint8)


def by_planes(x: np.ndarray, y: np.ndarray) -> float:
    """Return MS-SSIM of two planes, with the window in one piece."""
    weights = scale_weights(len(x))
    size = window_of(len(x))
    distance = np.arange(size) - (size - 1) / 2
    window = np.exp(-(distance[:, None] ** 2 + distance[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(values: np.ndarray) -> np.ndarray:
        return correlate2d(values, window, mode="valid")

    result = 1.0
    for number, weight in enumerate(weights):
        mx, my = mean(x), mean(y)
        cov, vx, vy = mean(x * y) - mx * my, mean(x * x) - mx**2, mean(y * y) - my**2
        contrast = (2 * cov + 7.65**2) / (vx + vy + 7.65**2)
        luminance = (2 * mx * my + 2.55**2) / (mx**2 + my**2 + 2.55**2)
        last = number == len(weights) - 1
        result *= max((luminance * contrast if last else contrast).mean(), 0.0) ** weight
        x, y = (v.reshape(len(v) // 2, 2, -1, 2).mean(axis=(1, 3)) for v in (x, y))
    return float(result)


@pytest.mark.parametrize("side", [4, 8, 16, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_similarity_is_that_of_an_independent_formula(side: int, channels: int) -> None:
    sample = images(4, side, channels)
    # An image and a little noise, and two that share nothing.
    noise = np.random.default_rng(1).integers(-9, 10, sample[:1].shape)
    alike = np.clip(sample[:1].astype(int) + noise, 0, 255).astype(np.uint8)
    one, other = sample[:2], np.concatenate([alike, sample[2:3]])
    expected = [
        np.mean([by_planes(*(p[..., c].astype(np.float64) for p in pair)) for c in range(channels)])
        for pair in zip(one, other, strict=True)
    ]
    np.testing.assert_allclose(ms_ssim(one, other), expected, rtol=1e-9)
    assert expected[0] > 0.5 > expected[1]


@pytest.mark.parametrize("side", [4, 32, 64])
def test_score_and_alarm_measure_the_same(side: int) -> None:
    sample = images(8, side, 3)
    similar = [ms_ssim(sample, np.roll(sample, shift, axis=0)).mean() for shift in SHIFTS]
    alarm = diversity(tf.constant(sample / 127.5 - 1, tf.float32))
    assert alarm == pytest.approx(1 - np.mean(similar), abs=2e-4)


@pytest.mark.parametrize("shape", [(48, 64), (28, 28), (100, 92), (44, 120)])
def test_other_shapes_are_measured_as_tensorflow_does(shape: tuple[int, int]) -> None:
    """By its five scales as far as they have room; odd sides repeat their last row or column."""
    random = np.random.default_rng(0)
    one = random.integers(0, 256, (2, *shape, 3), np.uint8)
    other = np.clip(one + random.normal(0, 40, one.shape), 0, 255).astype(np.uint8)
    expected = tf.image.ssim_multiscale(
        one, other, max_val=255, power_factors=scale_weights(min(shape)), filter_size=11
    )
    np.testing.assert_allclose(ms_ssim(one, other), expected, atol=2e-4)


def test_equal_images_are_alike_and_different_ones_are_not() -> None:
    one = images(1, 32).repeat(20, axis=0)
    found = similarity_of_pairs(one, seed=0, pairs=10)
    assert found.value == pytest.approx(1)
    assert similarity_of_pairs(images(20, 32), seed=0, pairs=10).value < 0.3


def test_pairs_are_of_one_class_and_share_no_image_while_there_are_some() -> None:
    labels = np.array([0] * 7 + [1] * 5 + [2] * 1)
    pairs, apart = pairs_of_one_class(labels, 40, seed=0)
    assert pairs.shape == (40, 2)
    assert apart == 5
    assert (labels[pairs[:, 0]] == labels[pairs[:, 1]]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len(set(pairs[:5].ravel().tolist())) == 10
    assert set(labels[pairs_of_one_class(labels, 4, seed=0)[0]].ravel().tolist()) == {0, 1}
    np.testing.assert_array_equal(pairs, pairs_of_one_class(labels, 40, seed=0)[0])
    # Fewer pairs than there could be are of all classes, not of the first.
    many = np.arange(10).repeat(20)
    assert len(set(many[pairs_of_one_class(many, 30, seed=0)[0]].ravel().tolist())) > 7


def test_a_class_of_equal_images_is_seen_where_all_images_together_look_diverse() -> None:
    sample = images(4, 16)[np.arange(40) % 4]
    of_classes = similarity_of_pairs(sample, np.arange(40) % 4, seed=0, pairs=20)
    assert of_classes.value == pytest.approx(1)
    assert similarity_of_pairs(sample, seed=0, pairs=20).value < 0.7


def test_more_pairs_than_images_do_not_narrow_the_interval() -> None:
    sample = images(20, 16)
    few, many = (similarity_of_pairs(sample, seed=0, pairs=pairs) for pairs in (10, 1000))
    assert many.high - many.low > 0.5 * (few.high - few.low)


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match="`labels` must name a class of two images"):
        similarity_of_pairs(images(3, 16), np.arange(3), seed=0)
    with pytest.raises(UserError, match=r"`labels` must be 3 integers"):
        similarity_of_pairs(images(3, 16), np.zeros(2, int), seed=0)
    with pytest.raises(UserError, match=r"`images` must have the shape"):
        similarity_of_pairs(images(3, 16)[..., 0], seed=0)
