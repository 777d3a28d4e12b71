"""Arrays that come in batches, cut anew: what is made of them must not depend on the cuts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.evaluation.statistics.arrays import Array


def rebatched(batches: Iterable[Array], size: int) -> Iterator[Array]:
    """The same rows in the same order, `size` at a time and the rest at the end.

    Args:
        batches: `(n, …)` each.
        size: Size of the new batches.
    """
    held: list[Array] = []
    for batch in batches:
        held.append(batch)
        count = sum(map(len, held))
        if whole := count - count % size:
            joined = held[0] if len(held) == 1 else np.concatenate(held)
            yield from np.split(joined[:whole], whole // size)
            held = [joined[whole:]]
    if any(map(len, held)):
        yield np.concatenate(held)
