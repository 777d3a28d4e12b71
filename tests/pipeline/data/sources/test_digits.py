"""The digits of scikit-learn, whose 17 greys reach from black to white."""

import numpy as np

from pipeline.data.sources import open_source


def test_digits() -> None:
    source = open_source("digits")
    assert (len(source), source.classes) == (1797, tuple("0123456789"))
    values = np.stack([np.asarray(picture.read()) for picture in source])
    assert (values.shape, values.min(), values.max()) == ((1797, 8, 8), 0, 255)
    assert set(np.unique(values)) == {(255 * value + 8) // 16 for value in range(17)}
