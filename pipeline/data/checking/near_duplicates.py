"""Group near duplicates: perceptual hashes that differ in few bits, without comparing all pairs."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_BITS = 64
Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Groups = list[Indices]  # Indices of the members of each group.


def groups_within(hashes: Hashes, distance: int) -> Groups:
    """Group hashes that a chain links in which neighbours differ in at most `distance` bits.

    The result is exact: the connected components of the graph of close hashes, those with two or
    more members. Indices in a group ascend, and groups are sorted by their first index.

    Example:
        >>> [group.tolist() for group in groups_within(np.array([7, 64, 3], np.uint64), 1)]
        [[0, 2]]
    """
    # Take equal hashes once, so that a thousand equal frames are not compared with each other.
    distinct, position = np.unique(hashes, return_inverse=True)
    roots = np.arange(len(distinct))
    # Divide the bits into `distance + 2` bands. A differing bit changes one band, so close hashes
    # agree in at least two: compare only those that do. A distance of 4 gives 15 pairs of bands,
    # each pair of at least 20 bits.
    for mask in _band_pair_masks(distance):
        pairs = _close_pairs(distinct, mask, distance)
        # Merge after each mask, so that not all pairs are in memory at once.
        roots = _components(np.concatenate([pairs, np.stack([np.arange(len(roots)), roots])], 1))
    return group_equal(roots[position])


def group_equal(values: Indices) -> Groups:
    """Group the indices of equal values; leave out values that occur once.

    Indices in a group ascend, and groups are sorted by their first index.

    Example:
        >>> [group.tolist() for group in group_equal(np.array([5, 7, 5]))]
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


def _band_pair_masks(distance: int) -> list[np.uint64]:
    """Make a bit mask for each pair of `distance + 2` bands."""
    edges = np.linspace(0, HASH_BITS, distance + 3).astype(int).tolist()
    bands = [(1 << end) - (1 << start) for start, end in pairwise(edges)]
    return [np.uint64(one | other) for one, other in combinations(bands, 2)]


def _close_pairs(hashes: Hashes, mask: np.uint64, distance: int) -> Indices:
    """Find the pairs of close hashes that agree in the mask's bits; return indices (2, pairs)."""
    keys = hashes & mask
    order = np.argsort(keys)
    keys, hashes = keys[order], hashes[order]
    found = [np.empty((2, 0), np.int64)]
    first = np.arange(len(keys))
    # After sorting, equal keys are neighbours: compare each with the next, the next but one, and so
    # on, up to the longest run of equal keys.
    for step in range(1, len(keys)):
        first = first[first < len(keys) - step]
        first = first[keys[first] == keys[first + step]]
        if not first.size:
            break
        close = np.bitwise_count(hashes[first] ^ hashes[first + step]) <= distance
        found.append(order[np.stack([first[close], first[close] + step])])
    return np.concatenate(found, axis=1)


def _components(edges: Indices) -> Indices:
    """Return, for each node of a graph, the smallest node of its connected component."""
    count = int(edges.max(initial=-1)) + 1
    graph = coo_array((np.ones(edges.shape[1], bool), tuple(edges)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    roots: Indices = first[component]
    return roots
