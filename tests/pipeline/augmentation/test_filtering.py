"""Bands of frequencies, against a direct convolution with filters made of the wavelet."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from pipeline.augmentation.filtering import band_filters
from tests.pipeline.augmentation.alone import Array, alone, augmented, draws_of, normals, numbers_of

SYM2 = np.array([1 - 3**0.5, 3 - 3**0.5, 3 + 3**0.5, 1 + 3**0.5]) / (4 * 2**0.5)


def filters_by_hand() -> Array:
    """What is left of an impulse in each band: in frequencies, products of |H|² / 2."""
    frequencies = np.fft.fftfreq(128)

    def power(taps: Array, times: int) -> Array:
        phases = np.exp(-2j * np.pi * np.outer(frequencies * times, np.arange(len(taps))))
        return np.abs(phases @ taps) ** 2 / 2

    high = SYM2 * [1, -1, 1, -1]
    low = [power(SYM2, 2**k) for k in range(3)]
    bands = [
        low[0] * low[1] * low[2],
        low[0] * low[1] * power(high, 4),
        low[0] * power(high, 2),
        power(high, 1),
    ]
    return np.stack([np.roll(np.fft.ifft(band).real, 21)[:43] for band in bands])


def test_bands_are_those_of_the_wavelet_and_add_up_to_the_image() -> None:
    np.testing.assert_allclose(band_filters(), filters_by_hand(), atol=1e-12)
    np.testing.assert_allclose(band_filters().sum(0), np.eye(43)[21], atol=1e-15)


@pytest.mark.parametrize("shape", [(4, 4), (16, 16), (32, 32), (12, 20)])
def test_images_are_convolved_with_the_amplified_bands(shape: tuple[int, int]) -> None:
    p, images = 0.5, normals(8, *shape, 2)
    found = augmented(images, p, "imgfilter")
    _, deviates, gates = numbers_of(draws_of(alone("imgfilter"), images), "imgfilter")
    power = np.array([10, 1, 1, 1]) / 13
    for image, one, logarithms, gate in zip(images, found, deviates, gates, strict=True):
        gains = np.ones(4)
        for band in range(4):
            factors = np.ones(4)
            factors[band] = 2 ** logarithms[band] if gate[band] < p else 1
            gains *= factors / np.sqrt((power * factors**2).sum())
        taps = gains @ filters_by_hand()
        padded = np.pad(image.astype(np.float64), ((21, 21), (21, 21), (0, 0)), mode="reflect")
        expected = scipy.signal.convolve(padded, np.multiply.outer(taps, taps)[..., None], "valid")
        np.testing.assert_allclose(one, expected, atol=2e-5 * np.abs(expected).max())
