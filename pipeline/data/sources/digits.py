"""Source of the 1,797 handwritten digits in scikit-learn: grey, 8x8, ten classes."""

from __future__ import annotations

import numpy as np

from pipeline.data.sources.arrays import arrays_source
from pipeline.data.sources.source import Source

LARGEST_VALUE = 16


def open_digits() -> Source:
    """Open the digits, with values 0 to 16 scaled to 0 to 255 and rounded half up."""
    from sklearn.datasets import load_digits  # Takes a second to import.

    data = load_digits()
    images = np.floor(data.images * (255 / LARGEST_VALUE) + 0.5).astype(np.uint8)
    return arrays_source("digits", images, data.target)
