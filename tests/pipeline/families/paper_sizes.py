"""Every resolution, and how many feature maps and weights the papers' layers have."""

from __future__ import annotations

import itertools

import pytest

SIZES = [4 * 2**i for i in range(9)]  # 4 … 1024
PAIRS = list(itertools.pairwise(SIZES))
QUICK = [(4, False), (8, True), (8, False), (1024, True)]

every_resolution = pytest.mark.parametrize(
    ("resolution", "fading"),
    [
        pytest.param(side, fading, marks=[] if (side, fading) in QUICK else pytest.mark.slow)
        for side in SIZES
        for fading in ((True, False) if side > SIZES[0] else (False,))
    ],
)


def maps(resolution: int) -> int:
    """Feature maps of ProGAN and StyleGAN at a resolution."""
    return min(8192 // (resolution // 2), 512)


def conv(inputs: int, outputs: int, side: int = 3) -> int:
    """Weights of a convolution with biases."""
    return side * side * inputs * outputs + outputs
