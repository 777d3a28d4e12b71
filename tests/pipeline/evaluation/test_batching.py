"""Rows stay in order, however they came."""

import numpy as np
import pytest

from pipeline.evaluation.batching import rebatched

ROWS = np.arange(46).reshape(23, 2)


@pytest.mark.parametrize("cuts", [[], [0], [1, 2, 3], [4, 8, 12, 16, 20], [5, 5, 10], [3, 20]])
@pytest.mark.parametrize("count", [0, 1, 4, 8, 22, 23])
@pytest.mark.parametrize("size", [1, 4, 23, 50])
def test_rebatching(cuts: list[int], count: int, size: int) -> None:
    found = list(rebatched(np.split(ROWS[:count], cuts), size))
    rest = [count % size] if count % size else []
    assert [len(batch) for batch in found] == [size] * (count // size) + rest
    if found:
        np.testing.assert_array_equal(np.concatenate(found), ROWS[:count])
