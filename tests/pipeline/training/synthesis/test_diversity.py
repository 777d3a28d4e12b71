"""Diversity is that of an independent MS-SSIM, and falls with every kind of collapse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import correlate2d

from pipeline.training.synthesis.diversity import SHIFTS, diversity

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def gaussian(size: int) -> Any:
    x = np.arange(size) - (size - 1) / 2
    window = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * 1.5**2))
    return window / window.sum()


def structures(x: Any, y: Any, window: Any) -> tuple[float, float]:
    """Mean SSIM and mean contrast-structure of two grey images in [0, 1]."""

    def mean(values: Any) -> Any:
        return correlate2d(values, window, mode="valid")

    mx, my = mean(x), mean(y)
    # The second constant as Wang et al. have it, 0.03², and the first 0.01².
    cov, vx, vy = mean(x * y) - mx * my, mean(x * x) - mx**2, mean(y * y) - my**2
    cs = (2 * cov + 0.03**2) / (vx + vy + 0.03**2)
    luminance = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
    return float((luminance * cs).mean()), float(cs.mean())


def ms_ssim(x: Any, y: Any, scales: int) -> float:
    weights = WEIGHTS[:scales] / WEIGHTS[:scales].sum()
    window = gaussian(min(11, len(x)))
    result = 1.0
    for number, weight in enumerate(weights):
        whole, cs = structures(x, y, window)
        result *= max(whole if number == scales - 1 else cs, 0.0) ** weight
        x, y = (v.reshape(len(v) // 2, 2, -1, 2).mean(axis=(1, 3)) for v in (x, y))
    return result


def images(count: int, side: int, channels: int = 1, seed: int = 0) -> Any:
    """Smooth and different: in [-1, 1]."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(-1, 1, (count, 4, 4, channels))
    fine = coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    return np.clip(fine + random.normal(0, 0.1, fine.shape), -1, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("side", "scales", "channels"),
    [
        *((4, 1, 3), (8, 1, 1), (16, 1, 3), (32, 2, 3), (64, 3, 1)),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((4, 1, 1), (8, 1, 3), (16, 1, 1), (32, 2, 1), (64, 3, 3))
        ),
    ],
)
def test_diversity_is_one_minus_the_mean_of_an_independent_ms_ssim(
    side: int, scales: int, channels: int
) -> None:
    sample = images(6, side, channels)
    unit = (sample.astype(np.float64) + 1) / 2
    pairs = [(i, (i - shift) % 6) for shift in SHIFTS for i in range(6)]
    similar = [
        ms_ssim(unit[i, :, :, c], unit[j, :, :, c], scales)
        for i, j in pairs
        for c in range(channels)
    ]
    assert diversity(tf.constant(sample)) == pytest.approx(1 - np.mean(similar), abs=2e-4)


@pytest.mark.parametrize(
    "side", [4, 8, 16, 32, *(pytest.param(side, marks=pytest.mark.slow) for side in (64, 128))]
)
def test_diversity_falls_with_the_number_of_modes(side: int) -> None:
    """Of k equally frequent images a pair is equal with probability 1/k."""
    different = images(64, side)
    of_all = diversity(tf.constant(different))
    order = np.random.default_rng(1).permutation(64)
    shares = [diversity(tf.constant(different[order % modes])) / of_all for modes in (1, 2, 4, 64)]
    assert shares[0] == pytest.approx(0.0, abs=1e-3)
    assert shares == sorted(shares)
    assert 0.3 < shares[1] < 0.7


def test_images_that_differ_by_a_little_noise_count_as_collapsed() -> None:
    one = images(1, 16).repeat(64, axis=0)
    noise = np.random.default_rng(2).normal(0, 0.02, one.shape)
    assert diversity(tf.constant(one + noise, tf.float32)) < 0.1


def test_what_lies_outside_the_range_is_clipped() -> None:
    sample = images(8, 8)
    inside = np.where(np.abs(sample) > 0.5, np.sign(sample), 0.0).astype(np.float32)
    outside = np.where(np.abs(inside) == 1, inside * 5, inside)
    assert diversity(tf.constant(inside)) == diversity(tf.constant(outside))
