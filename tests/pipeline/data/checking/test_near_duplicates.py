from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.checking.near_duplicates import group_equal, groups_within

WORD = 2**64 - 1


def by_comparing_all(hashes: list[int], distance: int) -> list[list[int]]:
    """Groups found by joining the groups of every close pair."""
    group = list(range(len(hashes)))
    for one, other in combinations(range(len(hashes)), 2):
        if (hashes[one] ^ hashes[other]).bit_count() <= distance:
            old, new = group[other], group[one]
            group = [new if number == old else number for number in group]
    members = ([i for i, number in enumerate(group) if number == root] for root in set(group))
    return sorted(member for member in members if len(member) > 1)


def found(hashes: list[int], distance: int) -> list[list[int]]:
    return [group.tolist() for group in groups_within(np.array(hashes, np.uint64), distance)]


@st.composite
def crowded_hashes(draw: st.DrawFn) -> list[int]:
    """Hashes around a few centres, so that near ones and chains of them are common."""
    centres = draw(st.lists(st.integers(0, WORD), min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=6)
    near = st.tuples(st.sampled_from(centres), flips)
    return [
        centre ^ sum(1 << bit for bit in set(bits))
        for centre, bits in draw(st.lists(near, max_size=40))
    ]


@settings(max_examples=200, deadline=None)
@given(crowded_hashes(), st.integers(0, 10))
def test_the_same_as_comparing_each_with_each(hashes: list[int], distance: int) -> None:
    assert found(hashes, distance) == by_comparing_all(hashes, distance)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, WORD), st.sets(st.integers(0, 63), max_size=12), st.integers(0, 12))
def test_a_pair_is_found_wherever_its_bits_differ(start: int, bits: set[int], distance) -> None:
    pair = [start, start ^ sum(1 << bit for bit in bits)]
    assert bool(found(pair, distance)) == (len(bits) <= distance)


def test_a_chain_is_one_group() -> None:
    chain = [(1 << length) - 1 for length in range(0, 65, 4)]
    assert found(chain, 4) == [list(range(17))]
    assert found(chain, 3) == []


def test_many_hashes_are_no_trouble() -> None:
    draw = np.random.default_rng(0)
    hashes = draw.integers(0, 2**64, 100_000, np.uint64)
    hashes[70_000:] = hashes[:30_000] ^ np.uint64(0b10000000010000001)
    hashes[50_000:60_000] = 7
    groups = groups_within(hashes, 4)
    assert len(groups) == 30_001
    assert all((groups[i] == [i, i + 70_000]).all() for i in range(30_000))
    assert (groups[-1] == np.arange(50_000, 60_000)).all()


@pytest.mark.parametrize("hashes", [[], [5]])
def test_too_few_to_be_alike(hashes: list[int]) -> None:
    assert found(hashes, 4) == []


def test_same_values() -> None:
    assert [group.tolist() for group in group_equal(np.array([3, 1, 3, 2, 1, 9]))] == [
        [0, 2],
        [1, 4],
    ]
    assert group_equal(np.array([], np.int64)) == []
