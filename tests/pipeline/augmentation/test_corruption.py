"""Noise and cuts, against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pipeline.augmentation.alone import alone, augmented, draws_of, normals, numbers_of

P = 0.6


def test_noise_is_half_normal_and_differs_between_channels() -> None:
    images = normals(64, 8, 8, 3)
    found = augmented(images, P, "noise")
    draws = draws_of(alone("noise"), images)
    _, deviates, gates = numbers_of(draws, "noise")
    deviations = np.where(gates < P, 0.1 * np.abs(deviates), 0)[:, 0]
    added = draws.noise.numpy() * deviations[:, None, None, None]
    np.testing.assert_allclose(found, images + added, atol=1e-6)
    measured = (found - images).std((1, 2, 3))
    np.testing.assert_allclose(measured, deviations, rtol=0.25)
    assert np.corrcoef(draws.noise.numpy().reshape(-1, 3).T)[0, 1:].max() < 0.05


@pytest.mark.parametrize("shape", [(8, 8), (8, 12)])
def test_cuts_are_half_of_the_side_around_any_point(shape: tuple[int, int]) -> None:
    (height, width), images = shape, np.ones((64, *shape, 2), np.float32)
    found = augmented(images, P, "cutout")
    uniforms, _, gates = numbers_of(draws_of(alone("cutout"), images), "cutout")
    for one, (right, down), [gate] in zip(found, uniforms, gates, strict=True):
        expected = np.ones((height, width, 2))
        for y in range(height):
            for x in range(width):
                near = max(abs((x + 0.5) / width - right), abs((y + 0.5) / height - down)) < 0.25
                expected[y, x] = 0 if near and gate < P else 1
        np.testing.assert_array_equal(one, expected)
    areas = (1 - found[..., 0]).sum((1, 2))
    assert areas.max() == height * width / 4
    assert areas[gates[:, 0] < P].min() >= 4  # a quarter of the cut at least
