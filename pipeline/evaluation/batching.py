"""Regroup batches of arrays, so that scores do not depend on the batch size of their source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.evaluation.statistics.arrays import Array


def rebatch(batches: Iterable[Array], size: int) -> Iterator[Array]:
    """Yield the rows in their order, in batches of `size`; the last batch may be smaller."""
    held: list[Array] = []
    for batch in batches:
        held.append(batch)
        count = sum(map(len, held))
        if whole := count - count % size:
            # Do not copy a batch that is alone, such as one that already has the right size.
            rows = held[0] if len(held) == 1 else np.concatenate(held)
            yield from np.split(rows[:whole], whole // size)
            held = [rows[whole:]]
    if any(map(len, held)):
        yield np.concatenate(held)
