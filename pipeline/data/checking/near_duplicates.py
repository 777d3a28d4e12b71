"""Group hashes that differ in few bits, without comparing each with each."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_BITS = 64
Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Groups = list[Indices]


def groups_within(hashes: Hashes, distance: int) -> Groups:
    """Group hashes that are linked by steps of at most `distance` bits; groups have two or more.

    The result is exact: two hashes share a group if and only if a chain of hashes connects them in
    which neighbours differ in at most `distance` of the 64 bits. Groups hold ascending indices, and
    are in the order of their first.

    Example:
        >>> [group.tolist() for group in groups_within(np.array([7, 64, 3], np.uint64), 1)]
        [[0, 2]]
    """
    # Equal hashes count once, so that a thousand black frames are not compared with each other.
    distinct, position = np.unique(hashes, return_inverse=True)
    roots = np.arange(len(distinct))
    # Each differing bit spoils one of `distance + 2` bands at most, so neighbours agree in two
    # bands: only hashes that do are compared. For 4 bits there are 15 pairs of at least 20 bits.
    for selection in _selections(distance):
        pairs = _close_pairs(distinct, selection, distance)
        # Merged after each selection, so that not all pairs are in memory at once.
        roots = _components(np.concatenate([pairs, np.stack([np.arange(len(roots)), roots])], 1))
    return same(roots[position])


def same(values: Indices) -> Groups:
    """Group the indices of equal values, in the order of their first; groups have two or more.

    Example:
        >>> [group.tolist() for group in same(np.array([5, 7, 5]))]
        [[0, 2]]
    """
    order = np.argsort(values, kind="stable")
    _, starts, counts = np.unique(values[order], return_index=True, return_counts=True)
    groups = [
        order[start : start + count]
        for start, count in zip(starts, counts, strict=True)
        if count > 1
    ]
    return sorted(groups, key=lambda group: int(group[0]))


def _selections(distance: int) -> list[np.uint64]:
    """Make a mask for each pair of `distance + 2` bands of bits."""
    edges = np.linspace(0, HASH_BITS, distance + 3).astype(int).tolist()
    bands = [(1 << end) - (1 << start) for start, end in pairwise(edges)]
    return [np.uint64(one | other) for one, other in combinations(bands, 2)]


def _close_pairs(hashes: Hashes, selection: np.uint64, distance: int) -> Indices:
    """Find pairs of close hashes that agree in the selected bits; indices (2, pairs)."""
    keys = hashes & selection
    order = np.argsort(keys)
    keys, hashes = keys[order], hashes[order]
    found = [np.empty((2, 0), np.int64)]
    first = np.arange(len(keys))
    # Sorted by keys, candidates are neighbours: compare each with the next, the next but one, and
    # so on, up to the longest run of equal keys.
    for step in range(1, len(keys)):
        first = first[first < len(keys) - step]
        first = first[keys[first] == keys[first + step]]
        if not first.size:
            break
        close = np.bitwise_count(hashes[first] ^ hashes[first + step]) <= distance
        found.append(order[np.stack([first[close], first[close] + step])])
    return np.concatenate(found, axis=1)


def _components(edges: Indices) -> Indices:
    """Return the first index in the component of each index."""
    count = int(edges.max(initial=-1)) + 1
    graph = coo_array((np.ones(edges.shape[1], bool), tuple(edges)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    roots: Indices = first[component]
    return roots
