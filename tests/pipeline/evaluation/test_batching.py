"""Rows stay in order, however they came."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.batching import rebatch

ROWS = np.arange(46).reshape(23, 2)


@given(st.lists(st.integers(0, 23)), st.integers(0, 23), st.integers(1, 50))
def test_rebatching(cuts: list[int], count: int, size: int) -> None:
    found = list(rebatch(np.split(ROWS[:count], sorted(cuts)), size))
    rest = [count % size] if count % size else []
    assert [len(batch) for batch in found] == [size] * (count // size) + rest
    if found:
        np.testing.assert_array_equal(np.concatenate(found), ROWS[:count])
