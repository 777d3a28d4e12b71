"""Features that need no training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.evaluation.features import FeatureNetwork


@pytest.fixture(scope="session")
def projection() -> FeatureNetwork:
    """Images of 4 or 8 px seen through 16 random directions, the first ten as classes."""
    directions = np.random.default_rng(0).standard_normal((64, 16)) / 8

    def forward(images: Any) -> tuple[Any, Any]:
        factor = 8 // images.shape[1]
        large = images.repeat(factor, axis=1).repeat(factor, axis=2)
        vectors = large.reshape(len(images), -1) / 255 @ directions
        powers = np.exp(vectors[:, :10])
        return vectors, powers / powers.sum(1, keepdims=True)

    classes = tuple(map(str, range(10)))
    return FeatureNetwork("projection", "00", {"resize": "none"}, forward, classes)
